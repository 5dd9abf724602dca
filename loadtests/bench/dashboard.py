"""The page of `migrate dashboard` in a real Chromium: first paint, and an hour of 100 findings a second, fed as quickly
as the page takes them. until phase 3

The server is `migrate.dashboard.demo`, which tells every finding at once and alone (--raw): the real one bundles to at
most five events a second of a section. The peer is a page that does nothing but read the same stream by EventSource and
parse it. Where the server is what sets the pace, the time of the page's thread says what it could have taken.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadtests.bench.report import Table, save, spread

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

__all__ = ["run"]

LOADS = 7
FINDINGS = 360_000
STEP_S = 0.01
LONGEST_MS = 900_000
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# When the page shows the first state that it was told, milliseconds after the navigation began.
SHOWN = """
new MutationObserver((_, self) => {
  const told = document.querySelector("#received")
  if (!told || told.dataset.count === "0") return
  self.disconnect()
  requestAnimationFrame(() => { window.shownMs = performance.now() })
}).observe(document, { subtree: true, childList: true, attributes: true })
"""
TASKS = """() => {
  window.tasks = []
  new PerformanceObserver(list => tasks.push(...list.getEntries().map(one => one.duration)))
    .observe({ type: "longtask" })
}"""
# The same stream, read and parsed, and nothing shown.
PEER = """() => {
  window.count = 0
  window.last = ""
  const source = new EventSource("/events")
  for (const type of ["snapshot", "update", "append"])
    source.addEventListener(type, event => {
      const value = JSON.parse(event.data)
      window.count += 1
      if (value.section === "mismatches") window.last = value.items.at(-1).id
    })
}"""


@contextmanager
def _demo(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server's address, and its process, whose next line on stdout says what was fed."""
    command = [sys.executable, "-m", "migrate.dashboard.demo", "--step-s", str(STEP_S), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.terminate()


def _heap_mb(cdp: CDPSession) -> float:
    """What is alive, after a collection."""
    cdp.send("HeapProfiler.collectGarbage")
    return float(cdp.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def _busy_s(cdp: CDPSession) -> float:
    """Processor time of the page's main thread so far."""
    metrics = cdp.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def _paints(browser: Browser) -> dict[str, list[float]]:
    """First contentful paint and first state shown, each time in a browser context without a cache."""
    found: dict[str, list[float]] = {"paint_ms": [], "state_ms": []}
    with _demo("--rate", "100") as (url, _):
        for _ in range(LOADS):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.add_init_script(SHOWN)
            page = context.new_page()
            page.goto(url)
            page.locator("#received:not([data-count='0'])").wait_for()
            paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
            _until(page, f"({paint}) > 0 && window.shownMs > 0")
            found["paint_ms"].append(page.evaluate(paint))
            found["state_ms"].append(page.evaluate("shownMs"))
            context.close()
    return found


def _until(page: Page, condition: str) -> None:
    """Playwright's own way evaluates text inside the page, which the page's policy forbids."""
    waited = 0
    while not page.evaluate(condition):
        page.wait_for_timeout(20)
        waited += 20
        if waited > LONGEST_MS:
            raise RuntimeError(f"never: {condition}")


def _hour(browser: Browser, *, peer: bool) -> dict[str, float]:
    """Feed an hour. Returns seconds, events, and the page's busy seconds, heap, elements and longest task."""
    with _demo("--raw", "--wait", "--total", str(FINDINGS)) as (url, process):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(LONGEST_MS)
        cdp = page.context.new_cdp_session(page)
        cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        if peer:
            page.goto(f"{url}state")
            before = _heap_mb(cdp)
            page.evaluate(PEER)
        else:
            page.add_init_script(f"({TASKS})()")
            page.goto(url)
            before = _heap_mb(cdp)
        assert process.stdout is not None
        busy = _busy_s(cdp)
        fed = json.loads(process.stdout.readline())
        last = json.loads(page.request.get(f"{url}state").text())["sections"]["mismatches"][-1]["id"]
        newest = "last" if peer else "document.querySelector('.option')?.dataset.id"
        _until(page, f"{newest} === {json.dumps(last)}")
        events = page.evaluate("count" if peer else "Number(document.querySelector('#received').dataset.count)")
        result = {
            "seconds": float(fed["seconds"]),
            "findings": float(fed["fed"]),
            "events": float(events),
            "busy_s": _busy_s(cdp) - busy,
            "heap_before_mb": before,
            "heap_after_mb": _heap_mb(cdp),
            "nodes": float(page.evaluate("document.all.length")),
            "longest_task_ms": 0.0 if peer else float(page.evaluate("Math.max(0, ...tasks)")),
        }
        page.close()
    return result


def run() -> None:
    """First paint of several loads, then an hour to the page and to the peer."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("no Chromium on PATH: run `make browser`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        version = browser.version
        paints = _paints(browser)
        page, peer = _hour(browser, peer=False), _hour(browser, peer=True)
        browser.close()
    each = [one["busy_s"] / one["events"] * 1e6 for one in (page, peer)]
    table = Table(f"migrate dashboard, the page in Chromium {version}", "what", "value")
    table.add("first contentful paint, ms", spread(paints["paint_ms"]))
    table.add("first state shown, ms", spread(paints["state_ms"]))
    table.add(f"{FINDINGS:,} findings (an hour of 100 a second), s", f"{page['seconds']:,.1f}")
    table.add("events of them", f"{page['events']:,.0f}")
    table.add("events a second, as the server told them", f"{page['events'] / page['seconds']:,.0f}")
    table.add("processor time of its main thread, %", f"{100 * page['busy_s'] / page['seconds']:.0f}")
    table.add("time of its thread per event, us", f"{each[0]:,.0f}")
    table.add("of a page that only reads and parses, us", f"{each[1]:,.0f}")
    table.add("times as long", f"{each[0] / each[1]:.2f}")
    table.add("JS heap before, MB", f"{page['heap_before_mb']:.1f}")
    table.add("JS heap after the hour, MB", f"{page['heap_after_mb']:.1f}")
    table.add("elements after the hour", f"{page['nodes']:,.0f}")
    table.add("longest task, ms", f"{page['longest_task_ms']:,.0f}")
    table.show()
    print(f"  kept in {save('dashboard', {'chromium': version, **paints, 'page': page, 'peer': peer})}")


if __name__ == "__main__":
    run()
