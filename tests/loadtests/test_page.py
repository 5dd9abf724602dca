"""The page of a comparison in a real browser, on a phone as on a screen. until phase 3"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from loadtests.compare.figures import against
from loadtests.compare.page import render

from ..sse_service.browser_support import chromium, shot
from ..sse_service.page_checks import check
from .page_samples import full

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# Of what is written: its size on the screen, px. What is drawn is shrunk with its drawing.
SMALL = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const found = []
  while (walker.nextNode()) {
    const { parentElement: element, data } = walker.currentNode
    if (!data.trim() || !element.checkVisibility()) continue
    const shrunk = element instanceof SVGElement ? element.getScreenCTM().a : 1
    const size = parseFloat(getComputedStyle(element).fontSize) * shrunk
    if (size < 11) found.push([data.trim(), size])
  }
  return found
}"""
# Of a chart: what is written over something else, or out of the screen.
CROWDED = """() => [...document.querySelectorAll('figure')].flatMap(figure => {
  const boxes = [...figure.querySelectorAll('span, .unit')].map(one => {
    const range = document.createRange()
    range.selectNodeContents(one)
    return [one.textContent, range.getBoundingClientRect()]
  })
  return boxes.flatMap(([text, a], at) => [
    ...(a.left < 0 || a.right > innerWidth ? [text] : []),
    ...boxes.slice(at + 1)
      .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
      .map(([other]) => [text, other]),
  ])
})"""
# Of a table that is wider than the screen: what its last column is hidden behind.
TABLES = """() => [...document.querySelectorAll('table')].map(table => {
  const around = table.parentElement
  const said = around.previousElementSibling
  return { scrolls: around.scrollWidth > around.clientWidth, told: said.checkVisibility() && said.textContent }
})"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, tmp_path: Path) -> AsyncIterator[Page]:
    file, made = tmp_path / "page.html", full()
    file.write_text(render(made, against(full(), made), full()), encoding="utf-8")
    context = await browser.new_context(offline=True)
    opened = await context.new_page()
    await opened.goto(file.as_uri())
    yield opened
    await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
async def test_it_can_be_read_on_every_width(page: Page, width: int, scheme: Any) -> None:
    await page.set_viewport_size({"width": width, "height": 740})
    await page.emulate_media(color_scheme=scheme)
    await check(page)
    assert await page.locator("figure").count() == 3
    assert await page.evaluate(SMALL) == []
    assert await page.evaluate(CROWDED) == []
    for table in await page.evaluate(TABLES):
        assert table["told"] if width < 700 else not table["scrolls"] and not table["told"]
    await shot(page, f"load-{width}-{scheme}.png", full=True)


async def test_a_table_that_is_cut_shows_it_and_moves_alone(page: Page) -> None:
    """A shade at the edge where there is more, the names of the rows stay, and the keyboard moves it as well."""
    await page.set_viewport_size({"width": 360, "height": 740})
    wide = page.get_by_role("region", name="Figures")
    cell = wide.locator("tbody th").first
    await wide.scroll_into_view_if_needed()

    async def edge() -> bytes:
        box = await wide.bounding_box()
        assert box
        # A row without a letter at the edge: between header and border nothing is drawn but the shade.
        return await page.screenshot(
            clip={"x": box["x"] + box["width"] - 3, "y": box["y"] + 1, "width": 3, "height": 3}
        )

    before, left = await edge(), (await cell.bounding_box() or {})["x"]
    await wide.focus()
    for _ in range(40):
        await page.keyboard.press("ArrowRight")
    await page.wait_for_function(
        "() => { const e = document.querySelector('.wide'); return e.scrollLeft + e.clientWidth >= e.scrollWidth - 1 }"
    )
    assert (await cell.bounding_box() or {})["x"] == left
    assert await edge() != before
    assert await page.evaluate("scrollX") == 0
