"""Three chat front ends written for WebSocket, changed in one line, while everything fails (MG5, MG19, WL12).

A page in plain JavaScript, one in React and a bot in Node.js talk to each other through the unchanged Lambdas of the
rooms application: over WebSocket, and over the drop-in while every fifth POST's answer is dropped, the network is cut
and the service is restarted. until phase 3
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser_support import chromium
from e2e_support import MIGRATE, run
from frontends_support import FRONTENDS, RECORD, BadNetwork, Way, bot
from local_stack import LocalStack, local_stack
from playwright.async_api import Browser, Page
from playwright.async_api import TimeoutError as PageTimeoutError
from redis_support import RedisServer
from virtual_support import Served, service, tell_functions

pytestmark = [pytest.mark.integration, pytest.mark.browser]

FILES = ["vanilla/{}/chat.js", "react/{}/useChat.js", "node-bot/{}/bot.mjs"]
WAIT_MS = 30_000
LINES = 8
"""Said by each person in each of the four parts of the conversation."""


@pytest.mark.parametrize("name", FILES)
def test_before_and_after_differ_in_one_line(name: str) -> None:
    before, after = ((FRONTENDS / name.format(form)).read_text().splitlines() for form in ("before", "after"))
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert [line for line in changed if line[0] == "+"] == [
        '+ import { SseWebSocket as WebSocket } from "@ws2sse/client"'
    ]
    assert [line for line in changed if line[0] == "-"] in ([], ['- import WebSocket from "ws"'])


@pytest.mark.parametrize("name", FILES)
def test_that_line_is_what_codemod_writes(name: str, tmp_path: Path) -> None:
    """Everything else that it writes is a comment on the reconnect logic, which works with the drop-in as it is."""
    copy = tmp_path / Path(name).name
    shutil.copy(FRONTENDS / name.format("before"), copy)
    done = run(MIGRATE, "codemod", str(copy), "--assume-ours", "--write")
    assert done.returncode == 0, done.stderr
    lines = [line for line in copy.read_text().splitlines() if not line.lstrip().startswith("// ws2sse:")]
    assert lines == (FRONTENDS / name.format("after")).read_text().splitlines()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("frontends")) as made:
        yield made


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    server = RedisServer(tmp_path)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


class Chat:
    """Ann in the plain page, Bob in the one with React, and the bot."""

    def __init__(self, ann: Page, bob: Page) -> None:
        self.pages = {"ann": ann, "bob": bob}
        self.said: dict[str, list[str]] = {"ann": [], "bob": [], "bot": []}

    async def talk(self, part: str) -> None:
        """Both say their lines at once, as fast as a page takes them; the third of each is for the bot."""

        async def say(name: str) -> None:
            for number in range(LINES):
                text = f"{'!' if number == 2 else ''}{part} {number} 日本 <&>"
                self.said[name].append(text)
                await self.pages[name].fill("#say input", text)
                await self.pages[name].press("#say input", "Enter")

        await asyncio.gather(*(say(name) for name in self.pages))
        self.said["bot"] += [f"{name} says {part} 2 日本 <&>" for name in self.pages]

    async def heard(self, *, is_ordered: bool = True) -> None:
        """Wait until everybody has everything; then see that it is there once and in the order in which it was said."""
        count = sum(map(len, self.said.values()))
        for page in self.pages.values():
            with contextlib.suppress(PageTimeoutError):  # what is missing is said below
                await page.wait_for_function(
                    "count => document.querySelectorAll('#messages li').length >= count", arg=count, timeout=WAIT_MS
                )
        for name, page in self.pages.items():
            shown = [line.split(": ", 1) for line in await page.locator("#messages li").all_text_contents()]
            by = {who: [text for speaker, text in shown if speaker == who] for who in self.said}
            for who, said in self.said.items():
                # Ann and Bob ask the bot at the same time.
                exactly = list if is_ordered and who != "bot" else sorted
                assert exactly(by[who]) == exactly(said), f"{who}, as {name} sees it"

    async def see(self, what: str) -> list[Any]:
        return [await page.evaluate(what) for page in self.pages.values()]


@asynccontextmanager
async def chatting(
    browser: Browser, local: LocalStack, stack: str, network: BadNetwork, folder: Path
) -> AsyncIterator[Chat]:
    token = {}
    for name in ("ann", "bob", "bot"):
        token[name] = await asyncio.to_thread(local.token, stack, name, "--tenant", "acme")
    context = await browser.new_context(ignore_https_errors=True)
    await context.add_init_script(RECORD)
    pages = []
    for name, page_name in (("ann", "vanilla"), ("bob", "react")):
        page = await context.new_page()
        await page.goto(f"{network.url}/{page_name}")
        await page.fill("input[name=name]", name)
        await page.fill("input[name=token]", token[name])
        await page.press("input[name=token]", "Enter")
        pages.append(page)
    for page in pages:
        await page.wait_for_function("document.querySelector('#status').textContent === 'online'", timeout=WAIT_MS)
    more = {"NODE_EXTRA_CA_CERTS": local.ready["ca_bundle"]}
    async with bot(folder, network.form, network.address, token["bot"], **more):
        yield Chat(*pages)
    await context.close()


async def deploy(local: LocalStack, stack: str) -> dict[str, Any]:
    return await asyncio.to_thread(local.deploy, stack, "--app", "rooms")


async def test_over_websocket(browser: Browser, local: LocalStack, tmp_path: Path) -> None:
    """What the others are compared with: the front ends as they were, in fair weather."""
    deployed = await deploy(local, "before")
    network = BadNetwork("before", deployed["websocket_url"])
    async with network.listening(), chatting(browser, local, "before", network, tmp_path) as chat:
        for part in ("one", "two", "three", "four"):
            await chat.talk(part)
            # Its Lambdas run at once: API Gateway promises no order of what one connection sends.
            await chat.heard(is_ordered=False)
        assert await chat.see("trace") == [["open"], ["open"]]


class Instances:
    """Instances of the service, and what stands before them: for the clients, and for the functions."""

    def __init__(self, local: LocalStack, deployed: dict[str, Any], folder: Path, **settings: str) -> None:
        self.local = local
        self.deployed = deployed
        self.network = BadNetwork("after")
        self.inside = Way()
        self._folder = folder
        # Messages of one connection one after the other, which is more than API Gateway does.
        self._settings = {"SSE_VIRTUAL_ORDERED": "1", "SSE_GRACE_S": "5", "SSE_DRAIN_DELAY_S": "0", **settings}
        self._count = 0
        self._all = AsyncExitStack()

    async def __aenter__(self) -> Instances:
        await self._all.enter_async_context(self.inside.listening())
        await self._all.enter_async_context(self.network.listening())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._all.aclose()

    async def start(self) -> AsyncExitStack:
        """One more; ended (SIGTERM) by closing what is given back."""
        self._count += 1
        own = AsyncExitStack()
        self._all.push_async_exit(own)
        log = self._folder / f"service{self._count}.log"
        made = service(self.local, self.deployed, log, tell=False, **self._settings)
        served: Served = await asyncio.to_thread(made.__enter__)
        own.push_async_callback(asyncio.to_thread, made.__exit__, None, None, None)
        own.callback(self._remove, served.url)
        for way in (self.network, self.inside):
            way.targets.append(served.url)
        return own

    def _remove(self, url: str) -> None:
        for way in (self.network, self.inside):
            way.targets.remove(url)


@asynccontextmanager
async def over_the_drop_in(
    browser: Browser, local: LocalStack, name: str, folder: Path, count: int, **settings: str
) -> AsyncIterator[tuple[Chat, Instances, list[AsyncExitStack]]]:
    deployed = await deploy(local, name)
    async with Instances(local, deployed, folder, **settings) as instances:
        running = [await instances.start() for _ in range(count)]
        await asyncio.to_thread(tell_functions, local, deployed, f"{instances.inside.url}/prod")
        async with chatting(browser, local, name, instances.network, folder) as chat:
            instances.network.drops = True
            yield chat, instances, running


async def test_over_the_drop_in_while_everything_fails(browser: Browser, local: LocalStack, tmp_path: Path) -> None:
    """Connections are kept in memory: the restart ends them, and the front ends come back as over WebSocket."""
    async with over_the_drop_in(browser, local, "memory", tmp_path, 1) as (chat, instances, running):
        await chat.talk("one")
        await instances.network.cut()
        await chat.talk("two")
        instances.network.mend()
        await chat.heard()
        assert await chat.see("trace") == [["open"], ["open"]]  # and nobody noticed
        await asyncio.gather(running[0].aclose(), chat.talk("three"))
        await instances.start()
        await chat.heard()
        await chat.talk("four")
        await chat.heard()
        for trace in await chat.see("trace"):
            assert trace[0] == trace[-1] == "open" and trace[1] in {"close 1001", "close 1006"}
        assert instances.network.dropped >= 4


async def test_over_two_instances_that_share_redis(
    browser: Browser, local: LocalStack, redis_url: str, tmp_path: Path
) -> None:
    """Every request goes to the other instance; one after the other is restarted; no application hears of any of it."""
    settings = {"SSE_VIRTUAL_STORE": "redis", "SSE_REDIS_URL": redis_url}
    async with over_the_drop_in(browser, local, "redis", tmp_path, 2, **settings) as (chat, instances, running):
        await chat.talk("one")
        await instances.network.cut()
        await chat.talk("two")
        instances.network.mend()
        await chat.heard()
        # One is left for a while, then a new one takes the place of that.
        await asyncio.gather(running[0].aclose(), chat.talk("three"))
        await chat.heard()
        await running[1].aclose()
        saying = asyncio.create_task(chat.talk("four"))  # to nobody
        await instances.start()
        await saying
        await chat.heard()
        assert await chat.see("trace") == [["open"], ["open"]]
        for arrivals in await chat.see("arrivals"):
            assert len(arrivals) == len({tuple(one) for one in arrivals}) == sum(map(len, chat.said.values()))
        assert instances.network.dropped >= 4
