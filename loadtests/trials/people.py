"""People on the three stacks of `migrate up`, who talk and keep a record of what they hear. until phase 3

    python -m loadtests.trials.people talk --state-dir .migrate --seconds 120
    python -m loadtests.trials.people ghosts --state-dir .migrate --count 20

`talk`: 80 people in rooms, 60 one to one, 60 in five tenants; Ctrl-C or the time ends the talking. Then each record is
held against what was said, and one line of JSON says what is missing and what came twice; exit code 3 if anything was.
`ghosts`: people who leave without `$disconnect`. Over the network only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import jwt
from websockets.asyncio.client import ClientConnection, connect

SETTLE_S = 60.0
TENANTS = 5
DICE = random.Random()  # noqa: S311 - who speaks next is no secret


class Person:
    """One client, and what it has heard: text -> how often.

    Args:
        name: user id or address.
        group: who hears the same: a stack, or a tenant of it.
    """

    def __init__(self, name: str, group: str, url: str) -> None:
        self.name = name
        self.group = group
        self.url = url
        self.said = 0
        self.heard: Counter[str] = Counter()
        self.errors: list[str] = []

    async def open(self) -> None:
        """Connect, and listen."""
        self._socket = await connect(self.url, proxy=None, max_queue=None, ping_interval=None, open_timeout=60)
        self._reading = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame.get("type") in ("message", "chat_message"):
                self.heard[frame["message"]] += 1
            elif frame.get("type") == "error" or "type" not in frame:
                self.errors.append(str(text))
        self.errors.append("closed")

    async def say(self, frame: dict[str, Any]) -> str:
        self.said += 1
        text = f"{self.name} {self.said}"
        await self._socket.send(json.dumps({**frame, "message": text}))
        return text

    async def close(self) -> None:
        self._reading.cancel()
        await self._socket.close()


class Talk:
    """What is said in one stack, and by whom it must be heard."""

    def __init__(
        self, name: str, people: list[Person], rate: float, heard_by: Callable[[Person, Person], bool]
    ) -> None:
        self.name = name
        self.people = people
        self.rate = rate
        self.expected: dict[Person, Counter[str]] = {one: Counter() for one in people}
        self._heard_by = heard_by
        self._numbers = itertools.count()

    async def run(self, until: float, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while time.monotonic() < until and not stop.is_set():
            sender, frame, to = self._next()
            text = await sender.say(frame)
            for one in self.people if to is None else [to]:
                if self._heard_by(sender, one):
                    self.expected[one][text] += 1
            due = max(due + DICE.expovariate(self.rate), time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _next(self) -> tuple[Person, dict[str, Any], Person | None]:
        sender = DICE.choice(self.people)
        if self.name == "rooms":
            return sender, {"action": "sendMessage", "roomId": DICE.choice(("main", "random"))}, None
        if self.name == "direct":
            to = DICE.choice([one for one in self.people if one is not sender])
            return sender, {"action": "sendMessage", "receiverEmail": to.name}, to
        number = next(self._numbers)
        return sender, {"type": "chat", "chat_id": f"{sender.group}-c{number % 3}"}, None

    def is_complete(self) -> bool:
        return all(sum(one.heard.values()) >= sum(self.expected[one].values()) for one in self.people)

    def result(self) -> dict[str, Any]:
        missing, twice, extra = [], [], []
        for one in self.people:
            wanted = self.expected[one]
            missing += [f"{one.name} <- {text}" for text in wanted - one.heard]
            twice += [f"{one.name} <- {text}" for text, count in one.heard.items() if count > 1]
            extra += [f"{one.name} <- {text}" for text in one.heard if text not in wanted]
        return {
            "people": len(self.people),
            "said": sum(one.said for one in self.people),
            "expected": sum(sum(wanted.values()) for wanted in self.expected.values()),
            "heard": sum(sum(one.heard.values()) for one in self.people),
            **{name: len(found) for name, found in (("missing", missing), ("twice", twice), ("extra", extra))},
            "first": (missing + twice + extra)[:5],
            "errors": [f"{one.name}: {error}" for one in self.people for error in one.errors][:5],
        }


def read_up(state_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state_dir / "up.json").read_text(encoding="utf-8"))
    return found


def client(up: dict[str, Any], service: str) -> Any:
    env = up["env"]
    return boto3.client(
        service,
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def signer(up: dict[str, Any]) -> Callable[[str, str], str]:
    """Makes tokens of (user, tenant) for rooms and layers, and for the SSE service."""
    secret = Path(up["jwt"]["secret_file"]).read_text(encoding="utf-8").strip()
    now = int(time.time())
    return lambda user, tenant: jwt.encode(
        {"sub": user, "tenant_id": tenant, "iat": now, "exp": now + 6 * 3600}, secret, algorithm="HS256"
    )


def _signed_in(up: dict[str, Any], addresses: list[str]) -> list[str]:
    """Access tokens of these, who are made in the pool if they are missing."""
    stack, pool = up["stacks"]["direct"], client(up, "cognito-idp")

    def one(address: str) -> str:
        who = {"UserPoolId": stack["user_pool_id"], "Username": address}
        password = f"Aa1!{secrets.token_hex(12)}"
        attributes = [{"Name": "email", "Value": address}, {"Name": "email_verified", "Value": "true"}]
        with contextlib.suppress(pool.exceptions.UsernameExistsException):
            pool.admin_create_user(**who, UserAttributes=attributes, MessageAction="SUPPRESS")
        pool.admin_set_user_password(**who, Password=password, Permanent=True)
        answer = pool.admin_initiate_auth(
            UserPoolId=stack["user_pool_id"],
            ClientId=stack["user_pool_client_id"],
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": address, "PASSWORD": password},
        )
        return str(answer["AuthenticationResult"]["AccessToken"])

    with ThreadPoolExecutor(4) as workers:
        return list(workers.map(one, addresses))


def _talks(up: dict[str, Any], options: argparse.Namespace) -> Iterator[Talk]:
    token, urls, mark = signer(up), up["legacy_ws_url"], secrets.token_hex(2)
    rooms = [f"r{mark}-{n}" for n in range(options.rooms)]
    yield Talk(
        "rooms",
        [Person(name, "rooms", f"{urls['rooms']}?token={token(name, up['tenant'])}") for name in rooms],
        options.rooms_rate,
        lambda _sender, _one: True,
    )
    direct = [f"d{mark}-{n}@example.com" for n in range(options.direct)]
    tokens = _signed_in(up, direct)
    yield Talk(
        "direct",
        [Person(name, "direct", f"{urls['direct']}?token={one}") for name, one in zip(direct, tokens, strict=True)],
        options.direct_rate,
        lambda _sender, _one: True,
    )
    layers = [(f"l{mark}-{n}", f"t{n % TENANTS}") for n in range(options.layers)]
    yield Talk(
        "layers",
        [Person(name, tenant, f"{urls['layers']}?token={token(name, tenant)}") for name, tenant in layers],
        options.layers_rate,
        lambda sender, one: sender is not one and sender.group == one.group,
    )


async def talk(up: dict[str, Any], options: argparse.Namespace) -> int:
    """Connect, talk, wait for the rest, judge."""
    talks = [one for one in _talks(up, options) if one.people]
    everybody = [person for one in talks for person in one.people]
    door = asyncio.Semaphore(8)

    async def enter(person: Person) -> None:
        async with door:
            await person.open()

    await asyncio.gather(*(enter(person) for person in everybody))
    say({"connected": len(everybody)})
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began = time.monotonic()
    await asyncio.gather(*(one.run(began + options.seconds, stop) for one in talks))
    talked_s = time.monotonic() - began
    deadline = time.monotonic() + SETTLE_S
    while not all(one.is_complete() for one in talks) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)  # whatever comes twice
    await asyncio.gather(*(person.close() for person in everybody))
    result = {"seconds": round(talked_s, 1), **{one.name: one.result() for one in talks}}
    say(result)
    return 3 if any(one.result()[what] for one in talks for what in ("missing", "twice", "extra")) else 0


async def ghosts(up: dict[str, Any], options: argparse.Namespace) -> int:
    """People of the rooms who leave without `$disconnect`: they count as present, and a post to them answers 410."""
    functions, mark, token = client(up, "lambda"), secrets.token_hex(2), signer(up)
    function = up["stacks"]["rooms"]["functions"]["disconnect"]
    names = [f"ghost{mark}-{n}" for n in range(options.count)]
    url = up["legacy_ws_url"]["rooms"]
    people = [Person(name, "rooms", f"{url}?token={token(name, up['tenant'])}") for name in names]
    functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        for person in people:
            await person.open()
        for person in people:
            await person.close()
        await asyncio.sleep(5)
    finally:
        functions.delete_function_concurrency(FunctionName=function)
    say({"ghosts": options.count})
    return 0


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("what", choices=("talk", "ghosts"))
    parser.add_argument("--state-dir", type=Path, default=Path(".migrate"), help="of `migrate up`")
    parser.add_argument("--seconds", type=float, default=120.0, help="to talk for")
    for name, people, rate in (("rooms", 80, 3.0), ("direct", 60, 10.0), ("layers", 60, 2.0)):
        parser.add_argument(f"--{name}", type=int, default=people, help=f"people in {name}")
        parser.add_argument(f"--{name}-rate", type=float, default=rate, help=f"messages a second in {name}")
    parser.add_argument("--count", type=int, default=20, help="ghosts")
    options = parser.parse_args()
    up = read_up(options.state_dir)
    return asyncio.run(ghosts(up, options) if options.what == "ghosts" else talk(up, options))


if __name__ == "__main__":
    sys.exit(main())
