"""What the tests of the dashboard's page do again and again. until phase 3 (MG18)"""

from __future__ import annotations

from browser_support import shot
from playwright.async_api import Locator, Page, expect

from .server import Dashboard

__all__ = ["TOKEN", "drawn", "headline", "picture", "show", "sign_in"]

TOKEN = "operator-token-of-this-test"


async def show(page: Page, server: Dashboard) -> None:
    await page.goto(server.url)
    await drawn(page)


async def drawn(page: Page) -> None:
    """Until everything of the first event is there: all of it is drawn at once."""
    await expect(page.locator("#stream")).to_have_text("live")
    await expect(page.locator("#received")).not_to_have_attribute("data-count", "0")


def headline(page: Page, answer: str) -> Locator:
    return page.locator(f"#answer-{answer} .headline")


async def sign_in(page: Page, token: str = TOKEN) -> None:
    await page.locator("#operate").click()
    await page.locator("#operator-token").fill(token)
    await page.keyboard.press("Enter")
    await expect(page.locator("#operator")).not_to_be_visible()


async def picture(page: Page, name: str) -> None:
    """The whole page, where SCREENSHOTS names a directory."""
    await shot(page, name, full=True)
