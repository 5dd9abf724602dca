"""The page under a thousand events a second (MG18).
until phase 3
"""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
from browser_support import until
from playwright.async_api import Page, expect

from .samples import entry, mismatch, sample
from .server import Dashboard
from .support import show

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_a_thousand_events_a_second(page: Page, server: Dashboard, capsys: pytest.CaptureFixture[str]) -> None:
    """For ten seconds: at the end the page shows what was sent last, keeps what it must and no more."""
    server.sections["mismatches"] = []
    await show(page, server)
    await page.evaluate(
        """() => {
          window.tasks = []
          new PerformanceObserver(list => tasks.push(...list.getEntries().map(one => one.duration)))
            .observe({ type: 'longtask' })
          window.frames = []
          const tick = now => { frames.push(now); requestAnimationFrame(tick) }
          requestAnimationFrame(tick)
        }"""
    )
    cdp = await page.context.new_cdp_session(page)

    async def heap() -> float:
        await cdp.send("HeapProfiler.collectGarbage")
        return float((await cdp.send("Runtime.getHeapUsage"))["usedSize"]) / 1e6

    told = sample()
    before, began, nodes = await heap(), time.perf_counter(), await page.evaluate("document.all.length")
    sent = 0
    behind: list[int] = []
    for second in range(10):
        for number in range(1000):
            which = number % 5
            if which == 0:
                await server.append("mismatches", mismatch(sent))
            elif which == 1:
                await server.append("journal", entry(sent))
            elif which == 2:
                told["connections"]["rows"][1]["open"] = sent
                await server.update("connections", told["connections"])
            elif which == 3:
                told["cutover"][0]["epoch"] = sent
                await server.update("cutover", told["cutover"])
            else:
                told["jobs"][0]["counts"]["rows"] = sent
                await server.update("jobs", told["jobs"])
            sent += 1
            # As even as a thousand a second can be.
            if number % 20 == 19:
                ahead = began + second + number / 1000 - time.perf_counter()
                await asyncio.sleep(max(0.0, ahead))
        behind.append(sent + 1 - int(await page.locator("#received").get_attribute("data-count") or 0))
    took = time.perf_counter() - began
    await until(page, f"document.querySelector('#received').dataset.count === '{sent + 1}'")
    await expect(page.locator(".option").first).to_have_attribute("data-id", f"m{sent - 5}")
    await expect(page.locator("#mismatches-count")).to_have_text("500 of 500")
    await expect(page.locator("#cutover > li").first).to_contain_text(f"epoch {sent - 2}")
    await expect(page.locator("#connections td.sse").first).to_have_text(f"{sent - 3:,}")
    await expect(page.locator("#jobs dd").first).to_have_text(f"{sent - 1:,}")
    await expect(page.locator("#journal tbody tr").first).to_contain_text("cutover")
    await expect(page.locator("#journal-more")).to_have_text("Show all 200")
    after = await heap()
    tasks, frames = await page.evaluate("[tasks, frames.map((at, n) => n ? at - frames[n - 1] : 0).slice(1)]")
    with capsys.disabled():
        sys.stdout.write(
            f"\n  {sent} events in {took:.1f} s ({sent / took:.0f}/s); behind at each second {behind}; "
            f"heap {before:.1f} -> {after:.1f} MB; {len(tasks)} long tasks, longest {max(tasks, default=0):.0f} ms; "
            f"{len(frames)} frames, the longest {max(frames):.0f} ms\n"
        )
    # 500 differences and 200 entries, and nothing that grows with what was sent.
    assert after - before < 8
    assert await page.evaluate("document.all.length") < nodes + 400
