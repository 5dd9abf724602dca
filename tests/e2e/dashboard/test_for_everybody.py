"""The page for everybody: names, contrast, keyboard, focus, motion (MG18; WCAG 2.2).
until phase 3
"""

from __future__ import annotations

from typing import Any

import pytest
from browser_support import until
from page_checks import check
from playwright.async_api import Page, expect

from .samples import sample
from .server import Dashboard
from .support import TOKEN, drawn, picture, show

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_names_roles_and_contrast_in_every_state(page: Page, server: Dashboard, scheme: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    await show(page, server)
    await expect(page.locator("#journal tbody tr")).to_have_count(12)
    for role, name in (
        ("main", None),
        ("navigation", "Sections of this page"),
        ("region", "At a glance"),
        ("article", "Is anything lost?"),
        ("region", "Cut-over"),
        ("listbox", "Differences, newest first"),
        ("table", "Deliveries of both stacks compared, by feature"),
        ("table", "What was done, newest first"),
        ("progressbar", "25 % of the users of chat are on SSE"),
        ("combobox", "Kind"),
        ("button", "Roll back… presence to WebSocket"),
    ):
        await expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    await check(page)
    await picture(page, f"dashboard-{scheme}.png")
    await page.locator("#journal-more").click()
    await page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
    await page.locator(".option[data-id=m13]").click()
    await check(page)
    await page.locator(".option[data-id=m14]").click()
    await check(page)
    await page.locator("#operate").click()
    await expect(page.get_by_role("dialog", name="Operator token")).to_be_visible()
    await check(page)
    await page.locator("#operator-token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Roll back… presence").click()
    await expect(page.locator("#act-word")).to_be_focused()
    await check(page)
    await page.keyboard.press("Escape")
    server.refuse = 503
    await server.cut()
    await expect(page.locator("#away")).to_be_visible()
    await check(page)


async def test_a_name_contains_the_words_that_are_seen(page: Page, server: Dashboard) -> None:
    """WCAG 2.2, 2.5.3: who speaks to a computer says what can be read."""
    server.sections["sources"][3]["state"] = "ok"
    await show(page, server)
    await page.locator("#phases .next button:visible").first.click()
    named = await page.locator("button[aria-label], a[aria-label], summary[aria-label]").evaluate_all(
        "all => all.map(one => [one.getAttribute('aria-label'), one.textContent])"
    )
    assert len(named) > 6
    assert [pair for pair in named if pair[1] not in pair[0]] == []


async def test_by_keyboard_alone(page: Page, server: Dashboard) -> None:
    """Everything is reached by Tab in the order of the page, shows that it has the focus, and Escape closes."""
    await show(page, server)
    wanted = await page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]')]
          .filter(one => one.checkVisibility() && !one.disabled && !one.closest('dialog')).length"""
    )
    seen: list[str] = []
    for _ in range(wanted):
        await page.keyboard.press("Tab")
        told = await page.evaluate(
            """() => {
              const one = document.activeElement
              const style = getComputedStyle(one)
              const all = [...document.querySelectorAll('*')]
              const isOutlined = style.outlineStyle !== 'none' && style.outlineWidth !== '0px'
              return [one.tagName, String(all.indexOf(one)), isOutlined]
            }"""
        )
        assert told[0] != "BODY" and told[2], f"{told} has the focus and does not show it"
        seen.append(told[1])
    assert len(set(seen)) == wanted
    assert seen == sorted(seen, key=int)
    await page.reload()
    await drawn(page)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.locator("#operate").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#operator-token")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#operator")).not_to_be_visible()
    await expect(page.locator("#operate")).to_be_focused()


async def test_focus_and_what_is_open_outlive_updates(page: Page, server: Dashboard) -> None:
    """What is being used is not taken away by what arrives."""
    await show(page, server)
    await page.locator("#phases summary").nth(2).click()
    button = page.get_by_role("button", name="Roll back… presence")
    await button.focus()
    told = sample()
    told["cutover"][0]["percent"] = 50.0
    told["cutover"].insert(0, {**told["cutover"][0], "feature": "alerts"})
    for name in ("cutover", "phases", "jobs", "comparison"):
        await server.update(name, told[name])
    await expect(page.locator("#cutover .figure").nth(1)).to_have_text("50 %")
    await expect(button).to_be_focused()
    await expect(page.locator("#phases details").nth(2)).to_have_attribute("open", "")
    # A reconnection says everything again.
    await server.cut()
    await until(page, "document.querySelector('#received').dataset.count === '6'")
    await expect(button).to_be_focused()
    await expect(page.locator("#phases details").nth(2)).to_have_attribute("open", "")


async def test_who_wants_no_motion_gets_none(page: Page, server: Dashboard) -> None:
    moving = "document.getAnimations().length + [...document.querySelectorAll('.bar span')]" \
        ".filter(one => getComputedStyle(one).transitionDuration !== '0s').length"  # fmt: skip
    await show(page, server)
    assert await page.evaluate(moving) > 0
    await page.emulate_media(reduced_motion="reduce")
    assert await page.evaluate(moving) == 0
