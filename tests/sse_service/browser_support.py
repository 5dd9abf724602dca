"""A real Chromium, and what the tests of every page do with it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

__all__ = ["ARGS", "WAIT_MS", "chromium", "executable", "shot", "until"]

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WAIT_MS = 20_000


def executable() -> str:
    """Where the system's Chromium is."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium on PATH: run `make browser`"
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser of its own; `expect` is as patient as everything else."""
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable(), args=ARGS)
        yield running
        await running.close()


async def until(page: Page, condition: str) -> None:
    """Playwright's own way evaluates text inside the page, which a page's policy may forbid."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while not await page.evaluate(condition):
            await asyncio.sleep(0.02)


async def shot(page: Page, name: str, *, full: bool = False) -> None:
    """A picture for people, where SCREENSHOTS names a directory; full: of the whole page, not of the window."""
    if directory := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=str(Path(directory) / name), full_page=full)
