"""The live page in a real Chromium against two small stacks. until phase 3 (MG2, MG8)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect
from two_stacks import SECRET, TwoStacks, two_stacks

from migrate import live

from ...sse_service.browser_support import chromium, shot

# One browser for all of these tests, so one event loop as well.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def stacks() -> AsyncIterator[TwoStacks]:
    async with two_stacks() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(stacks: TwoStacks, browser: Browser) -> AsyncIterator[Page]:
    """The page, both streams live; a script error or a broken policy fails the test."""
    config = live.PageConfig.from_up(stacks.up, SECRET)
    runner = web.AppRunner(live.create_app(config), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    errors: list[str] = []
    opened = await browser.new_page(viewport={"width": 1280, "height": 800})
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda m: errors.append(m.text) if "Content Security Policy" in m.text else None)
    await opened.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await expect(opened.locator("#ws-state")).to_have_text("live")
    await expect(opened.locator("#sse-state")).to_have_text("live")
    yield opened
    await opened.close()
    await runner.cleanup()
    assert errors == []


async def test_both_columns(page: Page, stacks: TwoStacks) -> None:
    """A message sent in the page over either way appears in both columns, as a pair with its difference."""
    for number, over in enumerate(["WebSocket", "REST"], 1):
        await page.locator("fieldset label", has_text=over).click()
        await page.locator("#text").fill(f"over {over}")
        await page.keyboard.press("Enter")
        for side in ("#ws-list", "#sse-list"):
            row = page.locator(f"{side} .row", has_text=f"over {over}")
            await expect(row).to_have_count(1)
            await expect(row).to_have_attribute("data-pair", "both")
        await expect(page.locator("#matched")).to_have_text(str(number))
    assert [path for path, _ in stacks.sent] == ["websocket", "rest"]
    assert {message["userName"] for _, message in stacks.sent} == {"you"}
    await expect(page.locator(".row .pair", has_text=" ms")).to_have_count(4)
    await expect(page.locator("#text")).to_have_value("")
    await expect(page.locator("#text")).to_be_focused()


async def test_one_side_only(page: Page, stacks: TwoStacks) -> None:
    """What the other side has not brought after three seconds turns red, and back when it comes late."""
    late: list[dict[str, Any]] = []
    stacks.fault = lambda stack, _, m: [m] if stack == "websocket" else late.append(m) or []
    await stacks.publish("websocket", stacks.message("main", "Zoë", "lost on the way"))
    row = page.locator("#ws-list .row", has_text="lost on the way")
    await expect(row).to_have_attribute("data-pair", "missing", timeout=6000)
    await expect(row.locator(".pair")).to_contain_text("not on SSE")
    await expect(page.locator("#unmatched")).to_have_text("1")
    await expect(page.locator("#announce")).to_contain_text("one side only", timeout=7000)
    stacks.fault = lambda stack, _, m: [m]
    for stream in stacks.streams:
        await stacks.write(stream, 99, late[0])
    await expect(row).to_have_attribute("data-pair", "both")
    await expect(page.locator("#unmatched")).to_have_text("0")


async def test_hostile_text(page: Page, stacks: TwoStacks) -> None:
    """Text stays text: no element, no script, no handler comes out of it."""
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    for name, text in ((evil, "x"), ("mallory", evil), ("mallory", "\u202eright to left"), ("", "")):
        await stacks.publish("rest", stacks.message("main", name, text))
    await stacks.publish("rest", {**stacks.message(evil, evil, evil), "timestamp": evil, "messageId": evil})
    await expect(page.locator("#ws-list .row")).to_have_count(5)
    await expect(page.locator("#sse-list .row")).to_have_count(5)
    assert await page.locator("ol img, ol script").count() == 0
    assert await page.title() == "Both stacks, side by side"
    await expect(page.locator("#ws-list .said", has_text="<img src=x")).to_have_count(2)


async def test_rows_are_bounded_and_filtered(page: Page, stacks: TwoStacks) -> None:
    """At most 200 rows a side; a room can be chosen; a paused list stands still and catches up."""
    for number in range(230):
        await stacks.publish("rest", stacks.message("main" if number % 2 else "random", "葵", f"n{number:03d}"))
    await expect(page.locator("#ws-count")).to_have_text("230")
    await expect(page.locator("#sse-list .row")).to_have_count(200)
    await expect(page.locator("#ws-list .row").first).to_contain_text("n229")
    await page.locator("#filter").select_option("random")
    assert await page.locator("#ws-list .row:visible").count() == 100
    await page.locator("#filter").select_option("")
    await page.locator("#pause").click()
    await stacks.publish("rest", stacks.message("main", "葵", "while paused"))
    await expect(page.locator("#ws-count")).to_have_text("231")
    assert await page.locator(".row", has_text="while paused").count() == 0
    await page.locator("#pause").click()
    await expect(page.locator(".row[data-pair=both]", has_text="while paused")).to_have_count(2)


async def test_reconnects_and_resumes(page: Page, stacks: TwoStacks) -> None:
    """After a cut both come back by themselves; SSE brings what was missed once, WebSocket cannot, nobody is
    blamed.
    """
    await stacks.publish("rest", stacks.message("main", "葵", "before"))
    await expect(page.locator(".row", has_text="before")).to_have_count(2)
    stacks.refuse_websocket = stacks.refuse_stream = 503
    await stacks.cut()
    await expect(page.locator("#sse-state")).to_contain_text("reconnecting")
    await expect(page.locator("#ws-state")).to_contain_text("reconnecting")
    await shot(page, "reconnecting.png")
    await stacks.publish("rest", stacks.message("main", "葵", "meanwhile"))
    stacks.refuse_websocket = stacks.refuse_stream = 0
    await expect(page.locator("#sse-list .row", has_text="meanwhile")).to_have_count(1, timeout=10000)
    await expect(page.locator("#ws-state")).to_have_text("live", timeout=10000)
    await stacks.publish("rest", stacks.message("main", "葵", "after"))
    await expect(page.locator(".row[data-pair=both]", has_text="after")).to_have_count(2)
    await expect(page.locator("#sse-list .row", has_text="before")).to_have_count(1)
    await asyncio.sleep(3.6)
    await expect(page.locator("#unmatched")).to_have_text("0")


async def test_send_refused(page: Page, stacks: TwoStacks) -> None:
    """A refused message stays in the box, and the page says why."""
    stacks.refuse_send = 403
    await page.locator("fieldset label", has_text="REST").click()
    await page.locator("#text").fill("keep me")
    await page.locator("button[type=submit]").click()
    await expect(page.locator("#problem")).to_contain_text("HTTP 403")
    await expect(page.locator("#text")).to_have_value("keep me")


async def test_keyboard_and_names(page: Page) -> None:
    """Everything can be reached and named: landmarks, labels, focus by keyboard."""
    for role, name in (
        ("region", "WebSocket"),
        ("region", "Server-Sent Events"),
        ("textbox", "Message"),
        ("combobox", "Send as"),
        ("combobox", "to"),
        ("radio", "REST"),
        ("button", "Send"),
        ("button", "Pause"),
    ):
        await expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    await expect(page.get_by_role("main")).to_have_count(1)
    await expect(page.get_by_role("contentinfo")).to_have_count(1)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.locator("h1").click()
    await page.keyboard.press("/")
    await expect(page.locator("#text")).to_be_focused()


async def test_event_parser_takes_any_cut(page: Page) -> None:
    """The page's own parser follows the HTML Standard whatever the chunks: CR, LF, CRLF, NUL in ids,
    comments.
    """
    stream = ": c\r\nid: 1\revent: a\ndata: x\rdata: y\r\n\r\nid: n\0\ndata: z\n\nretry: 10\ndata\n\ndata: unfinished"
    got = await page.evaluate(
        """async (stream) => {
          const { EventParser } = await import("/event-parser.js");
          const all = [];
          for (let size = 1; size <= stream.length; size += 1) {
            const parser = new EventParser();
            const events = [];
            for (let at = 0; at < stream.length; at += size) events.push(...parser.feed(stream.slice(at, at +
            size))); all.push(JSON.stringify([events.map((e) => [e.type, e.data, e.id, e.hasId]),
            parser.retryMs]));
          }
          return [...new Set(all)].map((text) => JSON.parse(text));
        }""",
        stream,
    )
    assert got == [[[["a", "x\ny", "1", True], ["message", "z", "1", False], ["message", "", "1", False]], 10]]


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desktop", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "dark")]
)
async def test_fits(page: Page, stacks: TwoStacks, name: str, width: int, scheme: str) -> None:
    """Nothing is cut off sideways at a phone's width, in light and dark; lists scroll inside themselves."""
    await page.set_viewport_size({"width": width, "height": 800})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    lines = [
        ("葵", "おはようございます ☀️"),
        ("민준", "새 스트림으로 붙어 봤는데 빠르네요"),
        ("Zoë", "Naïve question: is this the old stack or the new one?"),
        ("عمر", "هل وصلت الرسالة إلى الجميع؟"),
        ("viewer", "a" * 300),
    ]
    for number in range(12):
        who, text = lines[number % 5]
        lose = number == 8
        stacks.fault = lambda stack, _, m, lose=lose: [] if lose and stack == "sse" else [m]
        await stacks.publish("rest", stacks.message("random" if number % 4 == 3 else "main", who, text))
        await asyncio.sleep(0.02)
    await expect(page.locator("#ws-list .row")).to_have_count(12)
    await expect(page.locator("#unmatched")).to_have_text("1", timeout=6000)
    await shot(page, f"{name}.png")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    box = await page.locator("#text").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 800
