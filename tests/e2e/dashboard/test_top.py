"""The four answers at the top of the page, and its title (MG18).
until phase 3
"""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Page, expect

from .samples import compared, sample
from .server import Dashboard
from .support import headline, show

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_the_top_says_what_matters_and_changes_at_once(page: Page, server: Dashboard) -> None:
    """Is anything lost, who is on what, what is running and how fast, what comes next."""
    await show(page, server)
    await expect(headline(page, "loss")).to_have_text("12 lost on SSE")
    await expect(page.locator("#answer-loss")).to_contain_text("presence: 12 of 9,120 deliveries are missing on SSE")
    await expect(page).to_have_title("12 lost on SSE · harbour-chat · Migration")
    await expect(headline(page, "who")).to_have_text("chat 25 %")
    await expect(page.locator("#answer-who .details")).to_have_text(
        "presence 0 %open now: 4,920 WebSocket, 960 SSE, 240 Virtual"
    )
    await expect(page.locator("#answer-who [role=img]")).to_have_attribute(
        "aria-label", "Open connections: WebSocket 4,920, SSE 960, Virtual 240"
    )
    await expect(headline(page, "running")).to_have_text("Sweep 43.7 %")
    await expect(page.locator("#answer-running")).to_contain_text("118 rows/s")
    await expect(page.locator("#answer-running")).to_contain_text("throttled (LimitExceededException)")
    await expect(headline(page, "next")).to_have_text("Phase 2: 2 of 4")
    await expect(page.locator("#answer-next")).to_contain_text("Failing: Deliveries of both stacks compared")
    await expect(page.locator("#sources-away")).to_contain_text("cloudwatch (GetMetricStatistics failed")
    good = {"at": time.time(), "features": [compared("chat"), compared("presence", missing_legacy=4)]}
    await server.update("comparison", good)
    await expect(headline(page, "loss")).to_have_text("Nothing is lost")
    await expect(page.locator("#answer-loss")).to_contain_text("96,420 of 96,420 deliveries are the same on both")
    await expect(page.locator("#answer-loss")).to_contain_text("at most 0.006 % are lost (95 %)")
    await expect(page.locator("#answer-loss")).to_contain_text("WebSocket itself lost 4")
    await expect(page.locator("#announce")).to_have_text("Comparison of presence: pass")
    await expect(page).to_have_title("Nothing is lost · harbour-chat · Migration")
    stored = {**compared("chat"), "matched": None, "missing": None, "extra": None, "duplicate": None, "changed": None}
    await server.update("comparison", {"at": time.time(), "features": [stored]})
    await expect(page.locator("#answer-loss")).to_contain_text("48,210 deliveries were compared")
    await expect(page.locator("#comparison td[data-label=Missing]")).to_have_text("–")
    await server.update(
        "comparison", {"at": time.time(), "features": [compared("chat", "inconclusive", reasons=["too few"])]}
    )
    await expect(headline(page, "loss")).to_have_text("Not proven")
    await server.update("jobs", [{**sample()["jobs"][0], "status": "interrupted"}])
    await expect(headline(page, "running")).to_have_text("Nothing is running")
    await expect(page.locator("#answer-running")).to_contain_text("Sweep was interrupted")
    await server.update(
        "jobs", [{"kind": "drain", "id": "d", "status": "draining", "done": 20, "total": 100, "per_s": 4}]
    )
    await expect(headline(page, "running")).to_have_text("Drain 20 %")
    await expect(page.locator("#answer-running")).to_contain_text("about 20 s left")


async def test_who_is_on_sse_is_what_the_flags_say(page: Page, server: Dashboard) -> None:
    """Open connections are no progress: the shadow's are open too, and who tries SSE out is not moved."""
    told = sample()
    server.sections["cutover"] = [{**one, "percent": 0.0, "tenants": {}, "state": "off"} for one in told["cutover"]]
    server.sections["connections"]["rows"] = [
        {"stack": "legacy", "feature": "chat", "open": 2},
        {"stack": "sse", "feature": "*", "open": 3},
    ]
    await show(page, server)
    await expect(headline(page, "who")).to_have_text("Nobody moved yet")
    await expect(page.locator("#answer-who .details")).to_have_text("open now: 2 WebSocket, 3 SSE")
    await expect(page.locator("#answer-who")).not_to_contain_text("% on SSE")
    # Who was over and came back was moved, once.
    await server.update("cutover", [{**told["cutover"][1], "tenants": {}}])
    await expect(headline(page, "who")).to_have_text("Everybody is back")
    await expect(page.locator("#answer-who")).to_contain_text("presence went back to WebSocket 4 min ago, by kim@ops-1")
    await server.update("cutover", [{**told["cutover"][1], "tenants": {"acme": 50.0}}])
    await expect(headline(page, "who")).to_have_text("presence: 1 tenant only")
    rows = [{**told["cutover"][0], "feature": name, "percent": 10.0} for name in ("alerts", "chat", "library")]
    await server.update("cutover", rows)
    await expect(headline(page, "who")).to_have_text("alerts 10 % · chat 10 %")
    await expect(page.locator("#answer-who .details li").first).to_have_text("library 10 %")
    await server.update("connections", {"at": None, "rows": []})
    await expect(headline(page, "who")).to_have_text("alerts 10 % · chat 10 %")
    await expect(page.locator("#answer-who")).to_contain_text("No source says how many connections are open.")


async def test_a_tab_that_nobody_looks_at_still_says_so_in_its_title(page: Page, server: Dashboard) -> None:
    """Browsers give hidden tabs no frames."""
    await page.add_init_script(
        """Object.defineProperty(Document.prototype, 'hidden', { get: () => true })
        window.requestAnimationFrame = () => 0"""
    )
    await page.goto(server.url)
    await expect(page).to_have_title("12 lost on SSE · harbour-chat · Migration")
    await server.update("comparison", {"at": time.time(), "features": [compared("chat")]})
    await expect(page).to_have_title("Nothing is lost · harbour-chat · Migration")
