"""The page on a phone and on every width of a screen (MG18).
until phase 3
"""

from __future__ import annotations

from typing import Any

import pytest
from page_checks import check
from playwright.async_api import Page, expect

from .samples import compared, entry, item, mismatch, sample
from .server import Dashboard
from .support import picture, show, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone(page: Page, server: Dashboard, scheme: Any) -> None:
    """360 px: nothing is wider than the screen, whatever the names are like, and everything can be touched."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme=scheme)
    await show(page, server)
    await check(page)
    await picture(page, f"dashboard-phone-folded-{scheme}.png")
    # Every way is to be seen; what is not looked at every minute is folded, and opened by its button or its link.
    for link in await page.locator("nav a").all():
        box = await link.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360
    await expect(page.locator("#journal")).not_to_be_visible()
    await expect(page.get_by_role("button", name="Show Journal")).to_have_attribute("aria-expanded", "false")
    await page.locator("nav a", has_text="Journal").click()
    await expect(page.locator("#journal")).to_be_visible()
    for name in ("Latency", "Open connections", "Differences", "Sources"):
        await page.get_by_role("button", name=f"Show {name}").click()
        await expect(page.get_by_role("button", name=f"Hide {name}")).to_have_attribute("aria-expanded", "true")
    await page.get_by_role("button", name="Hide Cut-over").click()
    await expect(page.locator("#cutover")).not_to_be_visible()
    await page.get_by_role("button", name="Show Cut-over").click()
    await page.locator("#journal-more").click()
    await page.locator(".option[data-id=m13]").click()
    await check(page)
    await picture(page, f"dashboard-phone-{scheme}.png")
    long = "x" * 120
    told = sample()
    told["cutover"][0].update(feature=long, by=long, tenants={long: 3})
    told["comparison"]["features"].append(compared(long, "fail", reasons=[long], missing=123_456_789))
    told["connections"]["rows"].append({"stack": "sse", "feature": long, "open": 123_456_789})
    told["jobs"][0].update(id=long, throttle_reason=long, owner=long, counts={long: 1})
    told["phases"][1]["items"].append(item(9, "failing", long, evidence=long, next_command=long))
    told["sources"].append({"name": long, "state": "away", "why": long, "at": 1})
    told["journal"].append(entry(50, actor=long, action=long, arguments={long: long}))
    told["mismatches"].append(
        mismatch(51, feature=long, recipient=long, legacy={long: long}, sse={}, fields={long: [1, 2]})
    )
    for name, value in told.items():
        await server.update(name, value)
    await expect(page.locator("#sources")).to_contain_text(long)
    await page.locator(".option").first.click()
    await check(page)
    await sign_in(page)
    await page.locator("#cutover button", has_text="Roll back").first.click()
    await expect(page.locator("#act-word")).to_be_focused()
    await check(page)
    small = await page.evaluate(
        """() => [...document.querySelectorAll('button, select, a[href]')].filter(one => one.checkVisibility())
          .map(one => [one.textContent.slice(0, 20), one.getBoundingClientRect()])
          .filter(([, box]) => box.height < 24 || box.width < 24).map(([name]) => name)"""
    )
    assert [name for name in small if "Skip" not in name] == []


@pytest.mark.parametrize("width", [1101, 1200, 1440])
async def test_no_card_is_too_narrow_for_what_is_in_it(page: Page, server: Dashboard, width: int) -> None:
    """Words are not broken in two, and no column leaves its card."""
    await page.set_viewport_size({"width": width, "height": 900})
    server.sections["connections"]["rows"][0]["open"] = 123_456
    await show(page, server)
    await expect(page.locator("#latency tbody tr")).to_have_count(2)
    wide = await page.locator("main table").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.parentElement.clientWidth).map(one => one.textContent)"
    )
    assert wide == []
    outside = await page.locator("main .panel").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.getAttribute('aria-labelledby'))"
    )
    assert outside == []
    broken = await page.locator("#latency th, #connections th").evaluate_all(
        """all => all.filter(one => {
          const range = document.createRange()
          range.selectNodeContents(one)
          const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)))
          return lines.size > one.textContent.trim().split(' ').length
        }).map(one => one.textContent)"""
    )
    assert broken == []
    names = await page.locator("#latency tbody th").evaluate_all(
        "all => all.map(one => one.getClientRects()[0].height)"
    )
    assert abs(names[0] - names[1]) < 1
    await picture(page, f"dashboard-{width}.png")
