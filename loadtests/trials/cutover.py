"""People of the rooms chat while `migrate cutover --steps` moves them, a fault at 50 % brings all back, and they go
again to 100 %; their own records say whether anything was lost or doubled. until phase 3

    migrate up --detach --no-traffic --state-dir /tmp/trial
    python -m loadtests.trials.cutover --state-dir /tmp/trial --people 40

The fault is a hook of the gates that vetoes. Clients are drop-in clients in Node.js 20 or newer; everything goes over
the network and the command line. One line of JSON says what was seen; exit code 3 if a record is not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from loadtests.trials.people import client, read_up, say, signer

MIGRATE = str(Path(sys.executable).parent / "migrate")
SCRIPT = Path(__file__).parents[2] / "tests" / "e2e" / "switching_people.mjs"


class People:
    """The running clients, and where they are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.transports: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        # Both are pipes: see trial().
        while line := await self.process.stdout.readline():  # type: ignore[union-attr]
            value = json.loads(line)
            self.transports = value.get("transports", self.transports)
            self.records = value.get("records", self.records)

    async def until(self, kind: str, count: int, within: float) -> float:
        """Until so many are on a transport. Returns the seconds it took; raises TimeoutError."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while self.transports.count(kind) < count:
                if self.reading.done():
                    raise SystemExit("the clients have ended")
                await asyncio.sleep(0.05)
        return time.monotonic() - began


def _point_functions_at_the_service(up: dict[str, Any]) -> None:
    """The one change of configuration: docs/guides/cutover.md, "Before"."""
    functions = client(up, "lambda")
    for name in up["stacks"]["rooms"]["functions"].values():
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        changed = {**variables, "LEGACY_WS_MANAGEMENT_URL": f"{up['sse_url']}/prod"}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": changed})


def _with_hook(state_dir: Path, veto: Path) -> Path:
    """A copy of the application's configuration whose gates have a hook: it vetoes while the file is there."""
    text = (state_dir / "config" / "rooms.toml").read_text(encoding="utf-8")
    command = json.dumps(f"test ! -e {veto}")
    changed = re.sub(r"(?m)^# hooks = .*$", f"hooks = [{command}]", text)
    target = state_dir / "config" / "trial.toml"
    target.write_text(changed, encoding="utf-8")
    return target


async def _steps(options: argparse.Namespace, config: Path) -> asyncio.subprocess.Process:
    gates = ("--without-gate", "comparison", "--without-gate", "capture", "--note", "trial")
    return await asyncio.create_subprocess_exec(
        *(MIGRATE, "cutover", "chat", "--steps", "--hold", str(options.hold), "--execute", *gates),
        *("--config", str(config), "--state-dir", str(options.state_dir)),
        stderr=asyncio.subprocess.PIPE,
    )


async def _percent(up: dict[str, Any], percent: float, steps: asyncio.subprocess.Process) -> None:
    table = client(up, "dynamodb")
    key = {"pk": {"S": "flags"}, "sk": {"S": "chat#*"}}
    while True:
        item = table.get_item(TableName="ws2sse-migration-rooms", Key=key, ConsistentRead=True).get("Item", {})
        if float(item.get("percent", {}).get("N", 0)) >= percent:
            return
        if steps.returncode is not None:
            _, told = await steps.communicate()
            raise SystemExit(f"the steps ended before {percent:g} %: {told.decode().strip()}")
        await asyncio.sleep(0.2)


async def trial(options: argparse.Namespace) -> int:
    """Move, break, return, move again, judge."""
    up = read_up(options.state_dir)
    await asyncio.to_thread(_point_functions_at_the_service, up)
    veto = options.state_dir.resolve() / "trial-veto"
    veto.unlink(missing_ok=True)
    config = _with_hook(options.state_dir, veto)
    token = signer(up)
    names = [f"p{n}" for n in range(options.people)]
    plan = {
        "ws": up["legacy_ws_url"]["rooms"],
        "sse": f"{up['sse_url']}/prod",
        "people": [{"name": name, "token": token(name, up["tenant"])} for name in names],
        "everyMs": options.people / options.rate * 1000,
    }
    process = await asyncio.create_subprocess_exec(
        *("node", str(SCRIPT), json.dumps(plan)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 28,
        env={**os.environ, "NODE_OPTIONS": "--experimental-websocket --no-warnings"},
    )
    people = People(process)
    seen: dict[str, Any] = {}
    try:
        await people.until("websocket", len(names), 120)
        first = await _steps(options, config)
        for percent in (1, 10, 50):
            await _percent(up, percent, first)
            await asyncio.sleep(options.hold * 0.7)
            seen[f"on SSE at {percent} %"] = people.transports.count("sse")
        veto.touch()
        seen["all back after s"] = round(await people.until("websocket", len(names), 60), 1)
        _, told = await first.communicate()
        seen["exit code of the first"] = first.returncode
        seen["it said"] = told.decode().strip().splitlines()[-2:]
        veto.unlink()
        second = await _steps(options, config)
        await people.until("sse", len(names), 120 + 4 * options.hold)
        _, told = await second.communicate()
        seen["exit code of the second"] = second.returncode
        await asyncio.sleep(5)
        process.stdin.write(b"\n")  # type: ignore[union-attr]
        await asyncio.wait_for(people.reading, 120)
    finally:
        if process.returncode is None and not people.reading.done():
            process.kill()
        veto.unlink(missing_ok=True)
    good = _judge(people.records, seen)
    say(seen)
    return 0 if good and seen["exit code of the first"] == 3 and seen["exit code of the second"] == 0 else 3


def _judge(records: list[dict[str, Any]], seen: dict[str, Any]) -> bool:
    """Everybody heard everything that anybody said, once."""
    everything = {f"{one['name']} {n}" for one in records for n in range(1, one["said"] + 1)}
    missing, twice, events = [], [], []
    for one in records:
        texts = [text for _, text in one["heard"]]
        missing += [f"{one['name']} <- {text}" for text in sorted(everything - set(texts))]
        twice += [f"{one['name']} <- {text}" for text in sorted(set(texts)) if texts.count(text) > 1]
        events += [[one["name"], *event] for event in one["events"]]
    seen["people"], seen["said"], seen["heard"] = len(records), len(everything), sum(len(r["heard"]) for r in records)
    seen["moves"] = sum(len(one["moves"]) for one in records)
    seen.update(missing=len(missing), twice=len(twice), events=len(events), first=(missing + twice + events)[:6])
    return not (missing or twice or events)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--state-dir", type=Path, default=Path(".migrate"), help="of `migrate up`")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--rate", type=float, default=3.0, help="messages a second, all together")
    parser.add_argument("--hold", type=float, default=10.0, help="seconds to hold each step")
    return asyncio.run(trial(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
