"""Who may operate, and where the token is: in memory and nowhere else (MG18).
until phase 3
"""

from __future__ import annotations

import json

import pytest
from page_checks import check
from playwright.async_api import Page, expect

from .server import Dashboard
from .support import TOKEN, show, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_read_only_offers_nothing(page: Page, server: Dashboard) -> None:
    server.token = ""
    await show(page, server)
    await expect(page.locator("#read-only")).to_be_visible()
    await expect(page.locator("#operate")).not_to_be_visible()
    assert await page.locator(".act:visible").count() == 0
    await check(page)


async def test_a_wrong_token_is_told_at_once(page: Page, server: Dashboard) -> None:
    await show(page, server)
    await page.locator("#operate").click()
    await page.locator("#operator-token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator("#operator-problem")).to_have_text("This token was not accepted.")
    await expect(page.locator("#operator")).to_be_visible()
    await expect(page.locator("#operate")).to_have_text("Operate…")
    server.unwell = True
    await page.keyboard.press("Enter")
    await expect(page.locator("#operator-problem")).to_have_text(
        "It could not be checked (answered HTTP 503): try again."
    )
    server.unwell = False
    await page.locator("#operator-token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.locator("#operator")).not_to_be_visible()
    await expect(page.locator("#operate")).to_have_text("Stop operating")
    assert server.asked == []


async def test_the_token_is_in_memory_and_nowhere_else(page: Page, server: Dashboard) -> None:
    server.sections["jobs"].pop()
    await show(page, server)
    await sign_in(page)
    await page.get_by_role("button", name="Start drain…").click()
    await expect(page.locator("#act-word")).to_be_focused()
    await page.keyboard.type("drain")
    await page.keyboard.press("Enter")
    await expect(page.locator("#act .outcome")).to_have_text("Done.")
    kept = await page.evaluate(
        """async () => JSON.stringify([
          document.documentElement.outerHTML, [...document.querySelectorAll('input')].map(one => one.value),
          location.href, document.cookie, { ...localStorage }, { ...sessionStorage }, history.state, window.name,
          (await indexedDB.databases()).length, await caches.keys(),
          performance.getEntriesByType('resource').map(one => one.name),
        ])"""
    )
    assert len(server.asked) == 2
    assert TOKEN not in kept
    assert TOKEN not in json.dumps(server.addresses) and TOKEN not in json.dumps(server.asked)
    await page.reload()
    await expect(page.locator("#operate")).to_have_text("Operate…")
