"""Sample traffic: a few simulated people who chat in the demo's rooms, for as long as the stacks run. until
phase 3 (MG2)

Half of them are on the WebSocket stack and half on the SSE service, so that everything one of them says has
to reach both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path as FilePath
from typing import Any

import httpx

from migrate.clients import (
    Backoff,
    NotConnectedError,
    RefusedByServerError,
    SseClient,
    UpInfo,
    WsClient,
    new_http_client,
)
from migrate.compare.model import Path
from migrate.errors import MigrateError
from migrate.up.people import chat_unless_held
from migrate.up.state import StateDir

__all__ = ["PEOPLE", "Person", "main", "run"]

log = logging.getLogger("migrate.up.sample_traffic")

MESSAGES_PER_S = 1.0
# Somebody whom a stack does not let in tries again now and then: secrets and rooms may come later.
REFUSED_WAIT_S = 10.0
BACKOFF = Backoff(base_s=0.5, max_s=10.0)


@dataclass(frozen=True, slots=True)
class Person:
    """A simulated person.

    Args:
        name: user and display name.
        path: the stack this person is on.
        lines: what the person says, over and over.
    """

    name: str
    path: Path
    lines: Sequence[str]


PEOPLE = (
    Person(
        "葵",
        Path.WEBSOCKET,
        (
            "おはようございます ☀️",
            "今日のデプロイは十時からです",
            "了解です！",
            "ログを確認しています…",
            "全部グリーンになりました 🎉",
            "お昼、どうしますか？",
        ),
    ),
    Person(
        "민준",
        Path.REST,
        (
            "좋은 아침이에요!",
            "새 스트림으로 붙어 봤는데 빠르네요",
            "네, 확인했습니다 👍",
            "지연 시간 그래프 보셨어요?",
            "점심은 국수 어때요? 🍜",
            "잠깐 자리 비울게요",
        ),
    ),
    Person(
        "Zoë",
        Path.WEBSOCKET,
        (
            "Morning everyone — coffee's on ☕",
            "Who's on call this week?",
            "The new one is faster than I can read",
            "Naïve question: is this the old stack or the new one?",
            "Ship it 🚢",
            'The docs say "at least once", I say once',
        ),
    ),
    Person(
        "عمر",
        Path.REST,
        (
            "صباح الخير",
            "كل شيء يعمل هنا",
            "سأراجع الرسوم البيانية الآن",
            "ممتاز، شكرًا 🙏",
            "هل وصلت الرسالة إلى الجميع؟",
            "إلى اللقاء غدًا",
        ),
    ),
)


async def run(
    up: UpInfo | Mapping[str, Any],
    stop: asyncio.Event,
    *,
    people: Sequence[Person] = PEOPLE,
    messages_per_s: float = MESSAGES_PER_S,
) -> None:
    """Chat until `stop` is set. A stack that is away or restarts is waited for, for ever.

    Args:
        up: the contents of up.json (with `jwt_secret`, or `jwt.secret_file`), or an UpInfo.
        messages_per_s: of all people together.
    Raises: UsageError: `up` is not what `migrate up` writes.
    """
    info = up if isinstance(up, UpInfo) else UpInfo.from_mapping(up)
    pause_s = len(people) / messages_per_s
    async with new_http_client(info.sse_url, connections=2 * len(people) + 2) as http:
        tasks = [
            asyncio.create_task(_live(info, http, person, pause_s, number), name=f"traffic-{number}")
            for number, person in enumerate(people)
        ]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _live(info: UpInfo, http: httpx.AsyncClient, person: Person, pause_s: float, number: int) -> None:
    """One person, whatever happens: a failure ends a conversation, never the person."""
    # Evenly spread from the start, so that the rooms are neither silent nor crowded.
    await asyncio.sleep(0.3 + number * pause_s / 4)
    talk = _talk(info.rooms, person, number)
    while True:
        try:
            if person.path is Path.WEBSOCKET:
                await _on_websocket(info, person, talk, pause_s)
            else:
                await _on_sse(info, http, person, talk, pause_s)
        except RefusedByServerError as error:
            log.warning("a simulated person is not let in: %s", error.message)
        except Exception:
            log.exception("a simulated person failed and starts again")
        await asyncio.sleep(REFUSED_WAIT_S)


def _talk(rooms: Sequence[str], person: Person, number: int) -> Iterator[tuple[str, str]]:
    """(room, text) without end; mostly in the first room, now and then in the others."""
    lines = cycle(person.lines)
    for turn in cycle(range(3 * max(1, len(rooms) - 1) + 1)):
        index = 0 if turn % 3 or len(rooms) == 1 else 1 + (turn // 3 + number) % (len(rooms) - 1)
        yield rooms[index], next(lines)


def _pause_s(mean_s: float) -> float:
    return mean_s * random.uniform(0.6, 1.4)  # noqa: S311 - sample traffic, no secret


async def _on_websocket(info: UpInfo, person: Person, talk: Iterator[tuple[str, str]], pause_s: float) -> None:
    client = WsClient(info.websocket_url, headers=lambda: info.headers(person.name), backoff=BACKOFF)

    async def say() -> None:
        while True:
            room, text = next(talk)
            frame = {"action": "sendMessage", "userName": person.name, "message": text, "roomId": room}
            # While the stack is away nobody can say anything; the thought is lost, as in life.
            with contextlib.suppress(NotConnectedError):
                await client.send_json(frame)
            await asyncio.sleep(_pause_s(pause_s))

    async with client:
        await _both(_consume(client), say())


async def _on_sse(
    info: UpInfo,
    http: httpx.AsyncClient,
    person: Person,
    talk: Iterator[tuple[str, str]],
    pause_s: float,
) -> None:
    client = SseClient(info.stream_url, headers=lambda: info.headers(person.name), http=http, backoff=BACKOFF)

    async def say() -> None:
        while True:
            room, text = next(talk)
            body = {"conversationId": room, "message": text, "userName": person.name}
            try:
                answer = await http.post(info.send_url, json=body, headers=info.headers(person.name))
                if answer.is_client_error:
                    log.warning("a simulated person's message was refused: HTTP %d", answer.status_code)
            except httpx.TransportError:
                log.debug("the SSE service is away; a message is not sent")
            await asyncio.sleep(_pause_s(pause_s))

    async with client:
        await _both(_consume(client), say())


async def _consume(client: WsClient | SseClient) -> None:
    """Read and forget: somebody who does not read would be a slow consumer."""
    async for _ in client:
        pass


async def _both(listening: Any, saying: Any) -> None:
    """Until either ends; the other is cancelled. Raises what ended it."""
    tasks = [asyncio.ensure_future(listening), asyncio.ensure_future(saying)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_signalled(info: UpInfo, hold: FilePath) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await chat_unless_held(lambda enough: run(info, enough), hold, stop, lambda _: None)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m migrate.up.sample_traffic --state-dir .migrate`: chat until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m migrate.up.sample_traffic", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--state-dir", type=FilePath, default=FilePath(".migrate"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        asyncio.run(_until_signalled(UpInfo.load(options.state_dir), StateDir(options.state_dir).people_hold))
    except MigrateError as error:
        sys.stderr.write(error.report())
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
