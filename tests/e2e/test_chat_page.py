"""The chat page on both stacks at once: WebSocket of the legacy one, SSE, drop-in (DC4, issue 5 point 4).
until phase 3
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from browser_support import WAIT_MS, chromium, until
from e2e_support import Stacks
from playwright.async_api import BrowserContext, Page, expect

pytestmark = [pytest.mark.integration, pytest.mark.browser]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGMQqTgBRAwQCgAibgVRDiZvtgAAAABJRU5ErkJggg=="
)
"""Two by two pixels."""


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    async with chromium() as browser:
        yield await browser.new_context(viewport={"width": 1200, "height": 800})


class Tab:
    def __init__(self, page: Page, room: str) -> None:
        self.page = page
        self.room = room

    @classmethod
    async def open(cls, context: BrowserContext, stacks: Stacks, user: str, room: str) -> Tab:
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        token = await asyncio.to_thread(stacks.token, user)
        await page.goto(f"{stacks.sse_url}/chat#token={token}")
        await expect(page.locator("#transport")).to_have_attribute("data-state", "live", timeout=WAIT_MS)
        await page.locator(".entry", has=page.locator(".title", has_text=f"#{room}")).click()
        tab = cls(page, room)
        await until(page, f"chat.store.conversations.get('{room}').before !== undefined")
        return tab

    async def switch(self, name: str) -> None:
        await self.page.locator("#transport").click()
        await self.page.locator(f"#transports input[value={name}]").check()
        badge = self.page.locator("#transport")
        await expect(badge).to_have_attribute("data-transport", name, timeout=WAIT_MS)
        await expect(badge).to_have_attribute("data-state", "live", timeout=WAIT_MS)
        await expect(self.page.locator("#transports")).not_to_be_visible(timeout=WAIT_MS)

    async def say(self, text: str) -> None:
        await self.page.locator("#text").fill(text)
        await self.page.locator("#text").press("Enter")

    async def texts(self, mark: str) -> list[str]:
        found: list[str] = await self.page.evaluate(
            """([room, mark]) => chat.store.conversations.get(room).messages
                 .map(m => m.text).filter(t => t.includes(mark))""",
            [self.room, mark],
        )
        return found

    async def until(self, mark: str, wanted: set[str]) -> None:
        """Exactly these, each once."""
        async with asyncio.timeout(30):
            while not wanted <= set(await self.texts(mark)):
                await asyncio.sleep(0.05)
        assert sorted(await self.texts(mark)) == sorted(wanted)


async def test_switched_between_all_three_while_both_sides_talk(stacks: Stacks, context: BrowserContext) -> None:
    """WebSocket, SSE, drop-in and back, with messages from either stack all the time: nothing missing, nothing
    twice."""
    ann = await Tab.open(context, stacks, "ann", "main")
    bob = await Tab.open(context, stacks, "bob", "main")
    errors: list[str] = []
    for tab in (ann, bob):
        tab.page.on("pageerror", lambda error: errors.append(str(error)))
        tab.page.on("console", lambda m: errors.append(m.text) if "Security Policy" in m.text else None)
    sent: set[str] = set()
    stop = asyncio.Event()
    token = await asyncio.to_thread(stacks.token, "carol")

    async def over_rest() -> None:
        async with httpx.AsyncClient(base_url=stacks.sse_url, trust_env=False, timeout=20) as client:
            number = 0
            while not stop.is_set():
                text = f"switching carol {number}"
                body: dict[str, Any] = {"conversationId": "main", "message": text}
                answer = await client.post("/api/chat/send", json=body, headers={"Authorization": f"Bearer {token}"})
                answer.raise_for_status()
                sent.add(text)
                number += 1
                await asyncio.sleep(0.05)

    talking = asyncio.create_task(over_rest())
    ways = [("websocket", "drop-in"), ("drop-in", "websocket"), ("sse", "drop-in"), ("websocket", "sse")]
    for number, (first, second) in enumerate(ways):
        for tab, user in ((ann, "ann"), (bob, "bob")):
            text = f"switching {user} {number}"
            sent.add(text)
            await tab.say(text)
        await ann.switch(first)
        await bob.switch(second)
    stop.set()
    await talking
    for tab in (ann, bob):
        await tab.until("switching", sent)
        await expect(tab.page.locator(".unsent .row")).to_have_count(0, timeout=WAIT_MS)
    assert errors == []


async def test_a_message_really_travels_over_the_websocket(stacks: Stacks, context: BrowserContext) -> None:
    """On WebSocket the page's frames go to the legacy stack, and REST is not asked to send."""
    ann = await Tab.open(context, stacks, "ann", "random")
    frames: list[str] = []
    posts: list[str] = []

    def watch(socket: Any) -> None:
        socket.on("framesent", lambda data: frames.append(str(data)))

    ann.page.on("websocket", watch)
    ann.page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    await ann.switch("websocket")
    bob = await Tab.open(context, stacks, "bob", "random")
    await ann.say("by socket")
    await bob.until("by socket", {"by socket"})
    await ann.until("by socket", {"by socket"})
    assert any('"sendMessage"' in frame and "by socket" in frame for frame in frames)
    assert not any(url.endswith("/api/chat/send") for url in posts)
    # What that stack does not have still works beside it: a direct message, and who is typing.
    await bob.page.locator("#text").fill("x")
    await expect(ann.page.locator("#typing")).to_have_text("bob is typing …", timeout=WAIT_MS)
    # The network goes and comes back: what was said meanwhile is fetched.
    await context.set_offline(True)
    await expect(ann.page.locator("#transport")).not_to_have_attribute("data-state", "live", timeout=WAIT_MS)
    await ann.say("by socket, written offline")
    await asyncio.to_thread(stacks.send, "carol", "by socket, missed", conversationId="random")
    await context.set_offline(False)
    await ann.until("by socket", {"by socket", "by socket, missed", "by socket, written offline"})


async def test_a_picture_reaches_whoever_is_on_another_transport(stacks: Stacks, context: BrowserContext) -> None:
    """The local AWS has the bucket: chosen, uploaded by the page, shown on both sides, still there after a reload,
    and the legacy history, which is the same table, goes on."""
    ann = await Tab.open(context, stacks, "ann", "random")
    bob = await Tab.open(context, stacks, "bob", "random")
    refused: list[str] = []
    for tab in (ann, bob):
        tab.page.on("console", lambda m: refused.append(m.text) if "Security Policy" in m.text else None)
    await bob.switch("websocket")
    await ann.page.locator("#file").set_input_files({"name": "점심.png", "mimeType": "image/png", "buffer": PNG})
    await expect(ann.page.locator("#attached")).to_contain_text("점심.png")
    await ann.say("with a picture")
    for tab in (ann, bob):
        await tab.until("with a picture", {"with a picture"})
        await expect(tab.page.get_by_role("img", name="점심.png")).to_have_count(1, timeout=WAIT_MS)
        await until(tab.page, "document.querySelector('#log img').naturalWidth === 2")
    await bob.page.reload()
    await until(bob.page, "document.querySelector('#log img')?.naturalWidth === 2")
    assert refused == []
