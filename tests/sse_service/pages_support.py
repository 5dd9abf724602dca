"""The chat page and the widget in a real Chromium: what all of their tests need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from sse_service.testing import make_token

from .browser_support import WAIT_MS, chromium, until


class Tabs:
    """Tabs whose script errors and broken policies fail the test at its end."""

    def __init__(self, context: BrowserContext, token: Callable[[str], str]) -> None:
        self.context = context
        self.token = token
        self.errors: list[str] = []

    async def open(self, url: str, user: str, conversation: str = "", *, transport: str = "") -> Page:
        """A new tab, signed in, at a conversation."""
        page = await self.blank()
        if transport:
            await page.add_init_script(f"sessionStorage.setItem('ws2sse.transport', '{transport}')")
        await page.goto(f"{url}/chat#token={self.token(user)}")
        await live(page)
        if conversation:
            await choose(page, conversation)
        return page

    async def blank(self) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if "Content Security Policy" in m.text else None)
        return page


@asynccontextmanager
async def tabs_of(secret: str, *, width: int = 1200, height: int = 800) -> AsyncIterator[Tabs]:
    """In a browser of its own; users sign in with tokens of this secret."""
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": width, "height": height})
        made = Tabs(context, tokens(secret))
        yield made
        assert made.errors == []


async def live(page: Page, name: str = "") -> None:
    badge = page.locator("#transport")
    await expect(badge).to_have_attribute("data-state", "live")
    if name:
        await expect(badge).to_have_attribute("data-transport", name)


async def choose(page: Page, conversation: str) -> None:
    await page.locator(".entry", has=page.locator(".title", has_text=conversation)).click()
    await expect(page.locator("#title")).to_have_text(conversation)
    await until(page, "!document.querySelector('#log').hidden")


async def say(page: Page, text: str) -> None:
    await page.locator("#text").fill(text)
    await page.locator("#text").press("Enter")


async def texts(page: Page) -> list[str]:
    """Everything that is known of the conversation that is shown, in order; the screen shows what is near."""
    found: list[str] = await page.evaluate(
        """() => [...chat.store.conversations.values()]
             .find(one => one.title === document.querySelector('#title').textContent).messages.map(one => one.text)"""
    )
    return found


async def shown(page: Page) -> list[str]:
    """The texts on the screen, in order."""
    return await page.locator("#log article .text").all_inner_texts()


async def until_texts(page: Page, wanted: list[str], seconds: float = WAIT_MS / 1000) -> None:
    """Exactly these, once each and in order; waited for."""
    async with asyncio.timeout(seconds + 5):
        while (found := await texts(page)) != wanted and len(found) <= len(wanted):
            await asyncio.sleep(0.05)
    assert found == wanted


async def switch(page: Page, name: str) -> None:
    """Change the transport as a person does."""
    await page.locator("#transport").click()
    await page.locator(f"#transports input[value={name}]").check()
    await live(page, name)
    await expect(page.locator("#transports")).not_to_be_visible()


def tokens(secret: str) -> Callable[[str], str]:
    def made(user: str, **claims: Any) -> str:
        return make_token(secret, user, expires_at=time.time() + 3600, **claims)

    return made
