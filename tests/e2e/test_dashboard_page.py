"""The page of `migrate dashboard` in a real Chromium, against a server that says what a test wants (MG18).
until phase 3
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from dashboard_server import Dashboard, compared, deliveries, entry, item, mismatch, nothing, sample
from page_checks import check
from playwright.async_api import Browser, Page, async_playwright, expect

# One browser for all of these tests, so one event loop as well.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
TOKEN = "operator-token-of-this-test"
WAIT_MS = 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "no Chromium on PATH: run `make browser`"
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Dashboard]:
    async with Dashboard(token=TOKEN).running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(server: Dashboard, browser: Browser) -> AsyncIterator[Page]:
    """A tab, not yet anywhere; a script error, a refused policy or a part that cannot be drawn fails the test."""
    errors: list[str] = []
    opened = await browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    # What the network says of a refused stream is no error of the page.
    opened.on("console", lambda m: errors.append(m.text) if m.type == "error" and "ERR_" not in m.text else None)
    yield opened
    await opened.close()
    assert [one for one in errors if "status of" not in one] == []


async def show(page: Page, server: Dashboard) -> None:
    await page.goto(server.url)
    await expect(page.locator("#stream")).to_have_text("live")
    await expect(page.locator("#received")).not_to_have_attribute("data-count", "0")


async def until(page: Page, condition: str) -> None:
    """Playwright's own way evaluates text inside the page, which the page's policy forbids."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while not await page.evaluate(condition):
            await asyncio.sleep(0.02)


async def shot(page: Page, name: str) -> None:
    """A picture for people, where SCREENSHOTS names a directory."""
    if directory := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=str(Path(directory) / name), full_page=True)


def headline(page: Page, answer: str) -> Any:
    return page.locator(f"#answer-{answer} .headline")


async def sign_in(page: Page, token: str = TOKEN) -> None:
    await page.locator("#operate").click()
    await page.locator("#operator-token").fill(token)
    await page.keyboard.press("Enter")
    await expect(page.locator("#operator")).not_to_be_visible()


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
    server.sections["cutover"] = [{**one, "percent": 0.0, "tenants": {}} for one in told["cutover"]]
    server.sections["connections"]["rows"] = [
        {"stack": "legacy", "feature": "chat", "open": 2},
        {"stack": "sse", "feature": "*", "open": 3},
    ]
    await show(page, server)
    await expect(headline(page, "who")).to_have_text("Nobody moved yet")
    await expect(page.locator("#answer-who .details")).to_have_text("open now: 2 WebSocket, 3 SSE")
    await expect(page.locator("#answer-who")).not_to_contain_text("% on SSE")
    await server.update("cutover", [{**told["cutover"][1], "tenants": {"acme": 50.0}}])
    await expect(headline(page, "who")).to_have_text("presence: 1 tenant only")
    rows = [{**told["cutover"][0], "feature": name, "percent": 10.0} for name in ("alerts", "chat", "library")]
    await server.update("cutover", rows)
    await expect(headline(page, "who")).to_have_text("alerts 10 % · chat 10 %")
    await expect(page.locator("#answer-who .details li").first).to_have_text("library 10 %")
    await server.update("connections", {"at": None, "rows": []})
    await expect(headline(page, "who")).to_have_text("alerts 10 % · chat 10 %")
    await expect(page.locator("#answer-who")).to_contain_text("No source says how many connections are open.")


async def test_gates_are_open_or_unsure_or_shut(page: Page, server: Dashboard) -> None:
    """That nobody knows is not that somebody says no."""

    def stands(*states: str) -> list[dict[str, Any]]:
        gates = [{"name": "capture", "state": state, "reason": "because"} for state in states]
        is_open = bool(states) and set(states) == {"open"}
        return [{**sample()["cutover"][0], "gate": {"open": is_open, "reasons": ["because"], "gates": gates}}]

    await show(page, server)
    chip = page.locator("#cutover .chip").first  # there are two until the update comes
    for states, words, tone in (
        (("open", "open"), "gates open", "good"),
        (("open", "unsure"), "gates unsure", "warn"),
        (("unsure", "shut"), "gates shut", "bad"),
        ((), "gates unsure", "warn"),
    ):
        await server.update("cutover", stands(*states))
        await expect(chip).to_have_text(words)
        await expect(chip).to_have_attribute("data-tone", tone)
        if states != ("open", "open"):  # it was open before: no news
            await expect(page.locator("#announce")).to_have_text(f"chat: {words}")


async def test_every_section_shows_what_came(page: Page, server: Dashboard) -> None:
    await show(page, server)
    rows = page.locator("#connections tbody tr")
    assert [await row.all_inner_texts() for row in [rows.nth(n).locator("th, td") for n in range(3)]] == [
        ["chat", "3,120", "960", "240"],
        ["presence", "1,800", "0", "0"],
        ["Together", "4,920", "960", "240"],
    ]
    plot = page.locator("#deliveries svg")
    last = server.sections["deliveries"]["series"][-1]
    label = await plot.get_attribute("aria-label")
    assert f"WebSocket: now {last['legacy']}, between" in label and f"SSE: now {last['sse']}, between" in label
    # A gap in what is known is a gap in the line.
    assert (await page.locator("#deliveries path.sse").get_attribute("d")).count("M") == 2
    assert (await page.locator("#deliveries path.legacy").get_attribute("d")).count("M") == 1
    await page.locator("#deliveries summary").click()
    await server.update("deliveries", deliveries())
    await expect(page.locator("#deliveries tbody tr")).to_have_count(12)
    latency = await page.locator("#latency svg").get_attribute("aria-label")
    assert "WebSocket: median 28 ms, 99 % within 312 ms. SSE: median 7.2 ms" in latency
    await expect(page.locator("#latency rect")).to_have_count(28)
    words = await page.locator("#latency rect.sse title").nth(3).text_content()
    assert words == "5 ms – 10 ms: 6.3 % of WebSocket, 39.1 % of SSE"
    failed = page.locator("#comparison tr", has=page.locator("th", has_text="presence"))
    assert (await failed.locator("td").all_inner_texts())[:4] == ["fail", "9,120", "9,105", "12"]
    chat = page.locator("#cutover > li", has_text="chat").first
    await expect(chat.locator(".figure")).to_have_text("25 %")
    await expect(chat).to_contain_text("acme 50 %, globex 0 %")
    await expect(chat).to_contain_text("by kim@ops-1")
    await expect(page.locator("#cutover > li").nth(1)).to_contain_text("comparison: the last comparison failed")
    await expect(page.locator("#jobs > li").first).to_contain_text("7 of 16 segments · 118 rows/s")
    await expect(page.locator("#phases details[open] summary")).to_contain_text("Phase 2")
    await expect(page.locator("#phases details[open] .items > li")).to_have_count(4)
    await expect(page.locator("#phases")).to_contain_text("migrate compare --config migrate.toml --live")
    await expect(page.locator("#phases .items > li").nth(5)).to_contain_text("out of date")
    newest = page.locator("#journal tbody tr").first
    await expect(newest).to_contain_text("table=connections")
    await expect(newest).to_contain_text("started")
    await expect(page.locator("#journal tbody tr")).to_have_count(12)
    await page.locator("#journal-more").click()
    await expect(page.locator("#journal tbody tr")).to_have_count(22)
    await server.append("journal", entry(30, action="shadow pause"))
    await expect(page.locator("#journal tbody tr").first).to_contain_text("shadow pause")
    await expect(page.locator("#sources tr", has_text="cloudwatch")).to_contain_text("away")


async def test_the_journal_tells_times_and_digests_for_people(page: Page, server: Dashboard) -> None:
    at = await page.evaluate("new Date().setHours(12, 0, 0, 0) / 1000")
    said = {"window": [at, at + 20.5], "since": at, "digest": "0a" * 32, "run": {"started_at": at}, "percent": 1e9 + 1}
    server.sections["journal"] = [entry(1, arguments=said)]
    await show(page, server)
    clock = await page.evaluate(
        "both => both.map(at => new Date(at * 1000).toLocaleTimeString('en', { hourCycle: 'h23', hour: '2-digit', "
        "minute: '2-digit', second: '2-digit' }))",
        [at, at + 20.5],
    )
    await expect(page.locator("#journal td.any.code")).to_have_text(
        f"window={clock[0]} – {clock[1]} since={clock[0]} digest=0a0a0a0a0a0a "
        f'run={{"started_at":"{clock[0]}"}} percent=1000000001'
    )


async def test_one_burst_leaves_the_rest_to_be_seen(page: Page, server: Dashboard) -> None:
    """The axis is the usual traffic's; what towers over it is cut, and says how high it is. A plateau is no burst."""
    told = deliveries()
    for point in told["series"][60:64]:
        point.update(legacy=500, sse=480)
    server.sections["deliveries"] = told
    await show(page, server)
    plot = page.locator("#deliveries .plot")
    await expect(plot.locator(".scale span").first).to_have_text("100")
    await expect(plot.locator(".peak")).to_have_text("peak 500/s, cut off here")
    box, drawn = await plot.locator(".peak").bounding_box(), await plot.locator("svg").bounding_box()
    assert box and drawn
    at = (box["x"] + box["width"] if await plot.locator(".peak[data-side=left]").count() else box["x"]) - drawn["x"]
    assert abs(at / drawn["width"] - 0.5) < 0.03
    assert "and 500" in (await plot.locator("svg").get_attribute("aria-label") or "")
    await shot(page, "dashboard-burst.png")
    for point in told["series"][60:90]:
        point.update(legacy=500, sse=480)
    await server.update("deliveries", told)
    await expect(plot.locator(".scale span").first).to_have_text("500")
    await expect(plot.locator(".peak")).not_to_be_visible()


async def test_before_anything_is_known_it_says_so(page: Page, server: Dashboard) -> None:
    server.sections = nothing()
    await show(page, server)
    await expect(headline(page, "loss")).to_have_text("Not compared yet")
    await expect(headline(page, "who")).to_have_text("Not known")
    await expect(headline(page, "running")).to_have_text("Nothing is running")
    for name in ("cutover", "jobs", "deliveries", "latency", "connections", "comparison", "mismatches", "phases"):
        await expect(page.locator(f"#{name}-empty")).to_be_visible()
    await check(page)
    # Only who has looked can have found nothing.
    await expect(page.locator("#mismatches-empty")).to_have_text("Nothing has been compared yet.")
    await server.update("comparison", {"at": time.time(), "features": [{**compared("chat"), "source": "stored"}]})
    await expect(page.locator("#mismatches-empty")).to_contain_text("Only stored verdicts are known here")
    await server.update("comparison", {"at": time.time(), "features": [{**compared("chat"), "source": "live"}]})
    await expect(page.locator("#mismatches-empty")).to_have_text("No difference was found.")


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


async def test_away_and_back(page: Page, server: Dashboard) -> None:
    """A cut is resumed where it was; that a server is gone is said, and since when; what is old is not called new."""
    await show(page, server)
    seen = server.number
    await server.cut()
    await until(page, "document.querySelector('#received').dataset.count === '2'")
    assert server.resumed == ["", f"e-{seen}"]
    server.refuse = 503
    await server.cut()
    await expect(page.locator("#stream")).to_have_attribute("data-state", "away")
    await expect(page.locator("#stream")).to_contain_text("away since ")
    await expect(page.locator("#away")).to_contain_text("answered HTTP 503")
    await expect(page.locator("#announce")).to_contain_text("lost its connection")
    await expect(headline(page, "loss")).to_have_text("12 lost on SSE")
    await shot(page, "dashboard-away.png")
    server.refuse = 0
    server.sections["comparison"] = {"at": time.time(), "features": [compared("chat")]}
    await expect(headline(page, "loss")).to_have_text("Nothing is lost")
    await expect(page.locator("#away")).not_to_be_visible()
    await expect(page.locator("#stream")).to_have_text("live")
    await expect(page.locator("#announce")).to_contain_text("is live")


async def test_a_connection_that_is_dead_without_saying_so_is_noticed(page: Page, server: Dashboard) -> None:
    """Heartbeats keep it; silence ends it and begins another."""
    await show(page, server)
    server.silent = True
    told = await page.evaluate(
        """async () => {
          const { Stream } = await import('/static/stream.js')
          return await new Promise(resolve => {
            const states = []
            const stream = new Stream('/events', {
              event() {},
              state(name, { why }) {
                states.push([name, why])
                if (states.length === 3) resolve(states)
              },
            }, 150)
            stream.run()
          })
        }"""
    )
    assert told == [["connecting", None], ["live", None], ["reconnecting", "nothing came for 0 s"]]


async def test_the_parser_takes_any_cut(page: Page, server: Dashboard) -> None:
    """HTML Standard, 9.2.6: CR, LF, CRLF, comments, NUL in ids, fields without a value, an end without a blank line."""
    await show(page, server)
    stream = ": c\r\nid: 1\revent: a\ndata: x\rdata: y\r\n\r\nid: n\0\ndata: z\n\nretry: 10\ndata\n\ndata: unfinished"
    got = await page.evaluate(
        """async stream => {
          const { EventParser } = await import('/static/stream.js')
          const all = new Set()
          for (let size = 1; size <= stream.length; size += 1) {
            const parser = new EventParser()
            const events = []
            for (let at = 0; at < stream.length; at += size) events.push(...parser.feed(stream.slice(at, at + size)))
            all.add(JSON.stringify([events.map(e => [e.type, e.data, e.id]), parser.retryMs]))
          }
          return [...all].map(text => JSON.parse(text))
        }""",
        stream,
    )
    assert got == [[[["a", "x\ny", "1"], ["message", "z", "1"], ["message", "", "1"]], 10]]


async def test_text_is_never_markup(page: Page, server: Dashboard) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    told = sample()
    told["mismatches"] = [
        mismatch(1, feature=evil, recipient=evil, legacy={evil: evil}, sse={evil: 1}, fields={evil: [1, 2]})
    ]
    told["journal"] = [entry(1, actor=evil, action=evil, arguments={evil: evil}, outcome=evil, digest=evil)]
    told["sources"] = [{"name": evil, "state": evil, "why": evil, "at": 1}]
    told["jobs"] = [{"kind": evil, "id": evil, "status": evil, "done": 1, "total": 2, "per_s": 1, "counts": {evil: 1}}]
    told["cutover"] = [
        {"feature": evil, "percent": 1, "tenants": {evil: 2}, "gate": {"open": False, "reasons": [evil]}}
    ]
    told["phases"][1]["items"] = [item(1, evil, evil, evidence=evil, next_command=evil)]
    told["comparison"]["features"] = [compared(evil, "fail", reasons=[evil], missing=1)]
    server.sections = told
    server.project = evil
    await show(page, server)
    await expect(page.locator("#project")).to_have_text(evil)
    await page.locator(".option").first.click()
    assert await page.locator("body img, body script, body iframe").count() == 0
    assert "onerror" in await page.title()
    server.answers["rollback", False] = {"exit_code": 0, "stdout": evil, "stderr": evil}
    await sign_in(page)
    await page.locator("#cutover button", has_text="Roll back").click()
    await expect(page.locator("#act-result")).to_contain_text("onerror")
    assert await page.locator("body img, body script").count() == 0


async def test_a_wrong_section_names_itself_and_the_others_go_on(server: Dashboard, browser: Browser) -> None:
    """A part that cannot be drawn says so in its place; what is no JSON, and an unknown section, do nothing."""
    page = await browser.new_page()
    await show(page, server)
    await server.update("phases", [{"phase": 2}])
    await server.update("tomorrow", {"anything": 1})
    await server.write(b"event: update\ndata: {no json\n\n")
    await server.append("journal", entry(40, action="the last one"))
    await expect(page.locator("#phases-title ~ .problem")).to_contain_text("cannot be shown")
    await expect(page.locator("#journal tbody tr").first).to_contain_text("the last one")
    await server.update("phases", sample()["phases"])
    await expect(page.locator("#phases-title ~ .problem")).to_have_text("")
    await page.close()


async def test_read_only_offers_nothing(page: Page, server: Dashboard) -> None:
    server.token = ""
    await show(page, server)
    await expect(page.locator("#read-only")).to_be_visible()
    await expect(page.locator("#operate")).not_to_be_visible()
    assert await page.locator(".act:visible").count() == 0
    await check(page)


async def test_an_action_is_tried_first_and_confirmed_by_name(page: Page, server: Dashboard) -> None:
    server.answers["cutover", False] = {
        "command": ["migrate", "cutover", "--percent=50.0", "--", "chat"],
        "exit_code": 0,
        "stdout": {
            "percent": 25.0,
            "steps": [{"percent": 50, "connected_users": 4080, "to_sse": 1020, "to_websocket": 0, "problem": None}],
            "gates": [{"name": "comparison", "state": "open", "reason": "it passed"}],
        },
        "stderr": "nothing was done: --execute does it\n",
    }  # fmt: skip
    await show(page, server)
    await page.get_by_role("button", name="Move… users of chat").click()
    # Who has not said the token is asked for it, and then where he wanted to be.
    await page.locator("#operator-token").fill(TOKEN)
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Move users of chat")
    await expect(dialog).to_be_visible()
    await page.keyboard.type("50")
    await page.keyboard.press("Enter")
    await expect(dialog.locator(".outcome")).to_have_text("Dry run: this is what would be done.")
    await expect(dialog).to_contain_text("At 50 %: of 4,080 connected users 1,020 go to SSE")
    await expect(dialog).to_contain_text("migrate cutover --percent=50.0 -- chat")
    await expect(page.locator("#act-word")).to_be_focused()
    do = page.get_by_role("button", name="Move chat to 50 %")
    await expect(do).to_be_disabled()
    await page.keyboard.type("cha")
    await page.keyboard.press("Enter")
    assert [one["execute"] for one in server.asked] == [False]
    # Another number is another dry run.
    await page.locator("#act-percent").fill("60")
    await expect(do).not_to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.locator("#act-word")).to_be_focused()
    await page.keyboard.type("chat")
    await page.keyboard.press("Enter")
    await expect(dialog.locator(".outcome")).to_have_text("Done.")
    await expect(dialog.locator(".sentences")).to_have_text("chat: from 25 % to 60 %.")
    assert server.asked[-1] == {
        "action": "cutover", "arguments": {"feature": "chat", "percent": 60}, "execute": True,
    }  # fmt: skip
    await expect(page.locator("#announce")).to_contain_text("Done.")
    await page.keyboard.press("Escape")
    await expect(dialog).not_to_be_visible()


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


async def test_a_roll_back_says_in_words_what_it_does(page: Page, server: Dashboard) -> None:
    """From where to where, whose, and how many are connected; what the command said is folded away."""
    flags = [{"tenant": name, "percent": percent} for name, percent in (("*", 30.0), ("acme", 50.0), ("globex", 0.0))]
    status = {"features": [{"feature": "chat", "flags": flags, "gates": [], "running": "lee@ops-2"}]}
    server.answers["rollback", False] = {
        "command": ["migrate", "cutover", "status", "--json"], "exit_code": 0, "stdout": status, "stderr": "",
    }  # fmt: skip
    server.answers["rollback", True] = {
        "command": ["migrate", "rollback", "--json", "--", "chat"], "exit_code": 0, "stderr": "",
        "stdout": {
            "feature": "chat", "from_percent": {"*": 30.0, "acme": 50.0},
            "flags": [{"tenant": name, "percent": 0.0, "epoch": 9} for name in ("*", "acme")],
        },
    }  # fmt: skip
    await show(page, server)
    await sign_in(page)
    act = page.locator("#act")
    await page.locator("#cutover button", has_text="Roll back").first.click()
    await expect(act.locator(".sentences li")).to_have_text(
        [
            "chat goes from 30 % to 0 %: everybody is sent to WebSocket again.",
            "1 tenant with a percentage of its own goes to 0 % as well: acme 50 %.",
            "The run of lee@ops-2 that is under way ends.",
            "Open on SSE now for chat: 960 SSE, 240 Virtual.",
        ]
    )
    await expect(act.locator("#act-result pre")).not_to_be_visible()
    await expect(act.get_by_text("migrate cutover status")).not_to_be_visible()
    await shot(page, "dashboard-roll-back.png")
    await page.keyboard.type("chat")
    await page.keyboard.press("Enter")
    await expect(act.locator(".outcome")).to_have_text("Done.")
    await expect(act.locator(".sentences li")).to_have_text(
        ["chat: from 30 % to 0 %.", "chat, tenant acme: from 50 % to 0 %."]
    )
    await expect(act.locator("#act-result pre")).not_to_be_visible()
    await act.get_by_role("button", name="Close").click()
    # What the command does not say, the page knows.
    del server.answers["rollback", False]
    await page.locator("#cutover button", has_text="Roll back").nth(1).click()
    await expect(act.locator(".sentences li").first).to_have_text("Nobody of presence is moved: it stays at 0 %.")


async def test_actions_that_are_refused_or_run_on(page: Page, server: Dashboard) -> None:
    server.answers["rollback", False] = {"exit_code": 5, "stdout": None, "stderr": "error: kim@ops-1 holds the lock\n"}
    server.sections["jobs"].pop()
    server.sections["sources"][3].update(state="ok", why="run r1 is running")
    server.answers["sweep-stop", True] = {"exit_code": None, "running": True, "stdout": None, "stderr": ""}
    server.answers["shadow-kill", True] = {"exit_code": 3, "stdout": None, "stderr": "error: no\n"}
    await show(page, server)
    await sign_in(page)
    # The dashboard was started anew, with another token.
    server.token = f"{TOKEN}-2"
    await page.locator("#cutover button", has_text="Roll back").first.click()
    await expect(page.locator("#operator-problem")).to_have_text("This token was not accepted.")
    await page.locator("#operator-token").fill(server.token)
    await page.keyboard.press("Enter")
    act = page.locator("#act")
    await expect(act.locator(".outcome")).to_contain_text("the command refuses (somebody else is at it, exit code 5)")
    await expect(act).to_contain_text("kim@ops-1 holds the lock")
    await expect(page.locator("#act-do")).to_be_disabled()
    await expect(page.locator("#act-reason")).to_have_text("Not offered: somebody else is at it, exit code 5")
    await expect(page.locator("#act-word")).not_to_be_visible()
    await page.keyboard.press("Escape")
    # Gates that are shut are said where they matter: nobody is kept from coming back.
    gates = {"gates": [{"name": "comparison", "state": "shut", "reason": "it failed"}]}
    for name in ("rollback", "cutover"):
        server.answers[name, False] = {"exit_code": 0, "stdout": gates, "stderr": ""}
    await page.locator("#cutover button", has_text="Roll back").first.click()
    await expect(act.locator(".outcome")).to_have_text("Dry run: this is what would be done.")
    await page.keyboard.press("Escape")
    for percent, words in (("30", "this would be refused"), ("10", "this is what would be done.")):
        await page.locator("#cutover button", has_text="Move").first.click()
        await page.locator("#act-percent").fill(percent)
        await page.keyboard.press("Enter")
        await expect(act.locator(".outcome")).to_contain_text(words)
        await expect(act).to_contain_text("it failed")
        # What would be refused is not offered, and the reason is said.
        await expect(page.locator("#act-do")).to_have_text(f"Move chat to {percent} %")
        await expect(page.locator("#act-do")).to_be_disabled()
        if percent == "30":
            await expect(page.locator("#act-word")).not_to_be_visible()
            await expect(page.locator("#act-reason")).to_have_text("Not offered: comparison: it failed")
            await check(page)
        else:
            await page.locator("#act-word").fill("chat")
            await expect(page.locator("#act-do")).to_be_enabled()
            await expect(page.locator("#act-reason")).not_to_be_visible()
        await page.keyboard.press("Escape")
    for name, word, outcome in (
        ("Stop… Sweep", "sweep", "It has begun and goes on: watch it among the jobs."),
        ("Kill shadow…", "shadow", "Not done (a gate is shut, exit code 3)."),
        ("Start drain…", "drain", "Done."),
    ):
        await page.get_by_role("button", name=name).click()
        await expect(page.locator("#act-word")).to_be_focused()
        await page.keyboard.type(word)
        await page.keyboard.press("Enter")
        await expect(act.locator(".outcome")).to_have_text(outcome)
        await act.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Throttle… Sweep").click()
    await page.locator("#act-delete_per_s").fill("12.5")
    await page.locator("#act-paused").check()
    await page.locator("#act-try").click()
    await expect(page.locator("#act-word")).to_be_focused()
    assert server.asked[-1]["arguments"] == {"delete_per_s": 12.5, "paused": True}
    # No answer: nobody knows whether it was done, and the page says so.
    await page.route("**/actions", lambda route: route.abort())
    await page.keyboard.type("sweep")
    await page.keyboard.press("Enter")
    await expect(act.get_by_role("alert")).to_contain_text("look at the journal before you try again")
    await page.keyboard.press("Escape")
    await expect(page.locator("#operate")).to_have_text("Stop operating")
    await page.locator("#operate").click()
    await expect(page.locator("#operate")).to_have_text("Operate…")


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


async def test_the_real_server_and_the_page_agree(page: Page) -> None:
    """`python -m migrate.dashboard.demo`: server, board and hub of `migrate dashboard`, with made-up findings."""
    command = ("-m", "migrate.dashboard.demo", "--rate", "400", "--seconds", "2", "--wait", "--operator-token", TOKEN)
    demo = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        assert demo.stdout is not None
        url = json.loads(await demo.stdout.readline())["url"]
        await page.goto(url)
        await expect(page.locator("#stream")).to_have_text("live")
        assert json.loads(await demo.stdout.readline())["fed"] == 800
        told: dict[str, Any] = {}
        async with asyncio.timeout(WAIT_MS / 1000):
            # The hub tells its last bundle a moment after it was fed, and each section when its own time has come.
            while (
                told.get("mismatches", [{}])[-1].get("id") != "m799"
                or told["comparison"]["features"][0]["expected"] != 7880
                or told["cutover"][0]["epoch"] != 7
            ):
                told = json.loads(await (await page.request.get(f"{url}state")).text())["sections"]
        newest = told["mismatches"][-1]["id"]
        await expect(page.locator(".option").first).to_have_attribute("data-id", newest)
        count = f"{len(told['mismatches'])} of {len(told['mismatches'])}"
        await expect(page.locator("#mismatches-count")).to_have_text(count)
        for row in told["cutover"]:
            feature = page.locator("#cutover > li", has=page.get_by_role("heading", name=row["feature"], exact=True))
            await expect(feature.locator(".figure")).to_have_text(f"{row['percent']:g} %")
            await expect(feature).to_contain_text(f"gates {row['gate']['gates'][0]['state']}")
        for row in told["comparison"]["features"]:
            shown = page.locator("#comparison tr", has=page.get_by_role("rowheader", name=row["feature"], exact=True))
            await expect(shown.locator("td[data-label=Expected]")).to_have_text(f"{row['expected']:,}")
        names = await page.locator("#sources th[scope=row]").all_inner_texts()
        assert {row["name"] for row in told["sources"]} == set(names)
        await check(page)
        await sign_in(page)
        await page.get_by_role("button", name="Stop… Sweep").click()
        await expect(page.locator("#act .outcome")).to_have_text("Dry run: this is what would be done.")
        await page.keyboard.type("sweep")
        await page.keyboard.press("Enter")
        await expect(page.locator("#act .outcome")).to_have_text("Done.")
        await expect(page.locator("#act")).to_contain_text("migrate cleanup connections status --stop")
    finally:
        demo.terminate()
        await demo.wait()


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
    await shot(page, f"dashboard-{scheme}.png")
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


async def test_operator_buttons_are_there_where_they_make_sense(page: Page, server: Dashboard) -> None:
    """No shadow: nothing to pause or kill; nobody moved: no drain, and why; no drain: nothing to pause or undo."""
    told = sample()
    server.sections["jobs"] = []
    server.sections["cutover"] = [told["cutover"][1]]
    await show(page, server)
    more = page.locator("#jobs-more")
    start = more.get_by_role("button", name="Start drain…")
    await expect(start).to_be_disabled()
    await expect(start).to_have_accessible_description(
        "No drain yet: nobody has been moved, so there is nowhere to send clients."
    )
    await expect(more.locator("button:visible")).to_have_text(["Start drain…"])
    await expect(page.locator("#jobs button")).to_have_count(0)
    await server.update("cutover", told["cutover"])
    await expect(start).to_be_enabled()
    await expect(page.locator("#drain-why")).not_to_be_visible()
    for why, buttons in (
        ("run r1 is running, 0 s behind, 4 subscribers", ["Start drain…", "Pause shadow…", "Kill shadow…"]),
        ("run r1 is paused, 0 s behind, 4 subscribers", ["Start drain…", "Resume shadow…", "Kill shadow…"]),
    ):
        await server.update("sources", [{"name": "shadow", "state": "ok", "why": why, "at": time.time()}])
        await expect(more.locator("button:visible")).to_have_text(buttons)
    await server.update("sources", [{"name": "shadow", "state": "away", "why": "no answer", "at": time.time()}])
    await expect(more.locator("button:visible")).to_have_count(4)
    for status, buttons in (
        ("draining", ["Pause…", "Undo…"]),
        ("stopped", ["Resume…", "Undo…"]),
        ("drained", ["Undo…"]),
        ("undone", []),
    ):
        await server.update("jobs", [{**told["jobs"][1], "status": status}])
        await expect(page.locator("#jobs button:visible")).to_have_text(buttons)
        if status in ("draining", "stopped"):
            await expect(start).to_be_disabled()
            await expect(start).to_have_accessible_description(
                "A drain is there already: it can be paused, resumed or undone above."
            )
        else:
            await expect(start).to_be_enabled()


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
    await shot(page, f"dashboard-{width}.png")


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
    await expect(page.locator("#stream")).to_have_text("live")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    async with asyncio.timeout(20):
        # A key that comes while the header is drawn for the first time meets nothing.
        while not await page.locator("#operator-token").is_visible():
            await page.locator("#operate").press("Enter")
            await asyncio.sleep(0.3)
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone(page: Page, server: Dashboard, scheme: Any) -> None:
    """360 px: nothing is wider than the screen, whatever the names are like, and everything can be touched."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme=scheme)
    await show(page, server)
    await check(page)
    await shot(page, f"dashboard-phone-folded-{scheme}.png")
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
    await shot(page, f"dashboard-phone-{scheme}.png")
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


async def test_who_wants_no_motion_gets_none(page: Page, server: Dashboard) -> None:
    moving = "document.getAnimations().length + [...document.querySelectorAll('.bar span')]" \
        ".filter(one => getComputedStyle(one).transitionDuration !== '0s').length"  # fmt: skip
    await show(page, server)
    assert await page.evaluate(moving) > 0
    await page.emulate_media(reduced_motion="reduce")
    assert await page.evaluate(moving) == 0


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
