"""The page of `migrate dashboard` in a real Chromium, against a server that says what a test wants (MG18).

One browser for all tests of a file, so one event loop as well. until phase 3
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from browser_support import WAIT_MS, chromium
from playwright.async_api import Browser, Page

from .server import Dashboard
from .support import TOKEN


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Dashboard]:
    async with Dashboard(token=TOKEN).running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(server: Dashboard, browser: Browser) -> AsyncIterator[Page]:
    """A tab, not yet anywhere; a script error, a refused policy or a part that cannot be drawn fails the test."""
    errors: list[str] = []
    opened = await browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    # What the network says of a refused stream is no error of the page.
    opened.on("console", lambda m: errors.append(m.text) if m.type == "error" and "ERR_" not in m.text else None)
    yield opened
    await opened.close()
    assert [one for one in errors if "status of" not in one] == []
