"""The page of `dashboard_url` in a real Chromium on the real stacks. until phase 3 (MG2)"""

from __future__ import annotations

import asyncio

import pytest
from browser_support import chromium
from e2e_support import Stacks
from playwright.async_api import expect

pytestmark = [pytest.mark.integration, pytest.mark.browser]


async def test_messages_of_both_stacks_arrive_side_by_side(stacks: Stacks) -> None:
    """MG2: one message over REST and one typed in the page's WebSocket: each appears in both columns, as a pair."""
    async with chromium() as browser:
        page = await browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(stacks.info["dashboard_url"])
        await expect(page.locator("#ws-state")).to_have_text("live", timeout=15_000)
        await expect(page.locator("#sse-state")).to_have_text("live", timeout=15_000)
        await asyncio.to_thread(stacks.send, "dave", "seen in a browser, from REST")
        await page.locator("fieldset label", has_text="WebSocket").click()
        await page.locator("#text").fill("seen in a browser, from WebSocket")
        await page.keyboard.press("Enter")
        for text in ("from REST", "from WebSocket"):
            for side in ("#ws-list", "#sse-list"):
                row = page.locator(f"{side} .row", has_text=f"seen in a browser, {text}")
                await expect(row).to_have_count(1, timeout=15_000)
                await expect(row).to_have_attribute("data-pair", "both", timeout=15_000)
        assert errors == []
