"""The list of differences and both payloads side by side (MG18).
until phase 3
"""

from __future__ import annotations

from typing import Any

import pytest
from browser_support import until
from playwright.async_api import Page, expect

from .samples import mismatch
from .server import Dashboard
from .support import show

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_both_payloads_side_by_side_with_what_differs(page: Page, server: Dashboard) -> None:
    await show(page, server)
    await page.locator(".option[data-id=m13]").click()
    detail = page.get_by_role("region", name="chat: changed")
    await expect(detail).to_be_visible()
    await expect(page.locator("#difference-title")).to_be_focused()

    def tones(path: str) -> Any:
        row = detail.locator("tr", has=page.get_by_text(path, exact=True))
        return row.locator("td").evaluate_all("cells => cells.map(cell => [cell.textContent, cell.dataset.tone])")

    assert await tones("message") == [['"おはよう 13"', "legacy"], ['"おはよう 13 !"', "sse"]]
    assert await tones("tags.1.x") == [["1", "legacy"], ["2", "sse"]]
    assert await tones("messageId") == [['"L13"', "ignored"], ['"S13"', "ignored"]]
    assert await tones("more") == [["not there", "absent"], ["true", "ignored"]]
    assert await tones("roomId") == [['"main"', "same"]] * 2
    await expect(detail.locator("th", has_text="tags.1.x")).to_contain_text("(differs)")
    await expect(detail.locator("tbody tr")).to_have_count(7)
    await detail.get_by_label("Only what differs").check()
    await expect(detail.locator("tbody tr")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(detail).not_to_be_visible()
    await expect(page.locator("#mismatches")).to_be_focused()
    await page.locator(".option[data-id=m14]").click()
    await expect(page.locator("#difference .note")).to_have_text("SSE never delivered it")
    # It stays, though a new one has come and it is not in the list any more.
    await server.update("mismatches", [mismatch(99)])
    await expect(page.locator(".option")).to_have_count(1)
    await expect(page.locator("#difference-title")).to_have_text("chat: missing")


async def test_the_list_is_bounded_and_leaves_a_reader_in_peace(page: Page, server: Dashboard) -> None:
    """The newest 500; only the rows in sight exist; by keyboard from end to end; who reads is not pushed away."""
    server.sections["mismatches"] = []
    await show(page, server)
    await server.append("mismatches", *[mismatch(number) for number in range(700)])
    await expect(page.locator("#mismatches-count")).to_have_text("500 of 500")
    await expect(page.locator(".option").first).to_have_attribute("data-id", "m699")
    assert await page.locator(".option").count() < 30
    box = page.get_by_role("listbox")
    await box.focus()
    await page.keyboard.press("End")
    last = page.locator(".option[data-active]")
    await expect(last).to_have_attribute("data-id", "m200")
    await expect(last).to_have_attribute("aria-posinset", "500")
    await expect(last).to_have_attribute("aria-setsize", "500")
    assert await box.get_attribute("aria-activedescendant") == await last.get_attribute("id")
    for _ in range(3):
        await page.keyboard.press("ArrowUp")
    await expect(last).to_have_attribute("data-id", "m203")
    await page.keyboard.press("PageUp")
    await page.keyboard.press("Enter")
    await expect(page.locator("#difference")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(box).to_be_focused()
    # Somebody who reads in the middle.
    await box.evaluate("list => { list.scrollTop = 5600 }")
    at_top = "[...document.querySelectorAll('.option')].find(row => row.getBoundingClientRect().top >= " \
        "document.querySelector('#mismatches').getBoundingClientRect().top)?.dataset.id"  # fmt: skip
    await until(page, f"{at_top} === 'm599'")
    await server.append("mismatches", *[mismatch(number) for number in range(700, 720)])
    await expect(page.locator("#mismatches-new")).to_have_text("20 new")
    await until(page, f"{at_top} === 'm599'")
    await page.locator("#mismatches-new").click()
    await expect(page.locator(".option").first).to_have_attribute("data-id", "m719")
    await expect(page.locator("#mismatches-new")).not_to_be_visible()
    await page.locator("#mismatches-kind").select_option("missing")
    await expect(page.locator("#mismatches-count")).to_have_text("250 of 500")
    await page.locator("#mismatches-feature").select_option("presence")
    kinds = await page.locator(".option").evaluate_all("rows => rows.map(row => row.getAttribute('aria-label'))")
    assert all(words.startswith("missing in presence") for words in kinds) and kinds
    await page.locator("#mismatches-kind").select_option("extra")
    await expect(page.locator("#mismatches-empty")).to_have_text("None of the latest 500 is of this kind.")
