"""Every section of the page shows what came, whatever came (MG18).
until phase 3
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import pytest
from browser_support import WAIT_MS
from page_checks import check
from playwright.async_api import Browser, Page, expect

from .samples import compared, deliveries, entry, item, mismatch, nothing, sample
from .server import Dashboard
from .support import TOKEN, headline, picture, show, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


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
    await picture(page, "dashboard-burst.png")
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


async def test_a_table_that_fails_does_not_silence_the_top(server: Dashboard, browser: Browser) -> None:
    """Several parts draw one section: the table of the comparison cannot, the answer above it can."""
    page = await browser.new_page()
    await show(page, server)
    rows = [compared("chat", "fail", reasons=[], notes=7, missing=3)]
    await server.update("comparison", {"at": time.time(), "features": rows})
    await expect(page.locator("#comparison-title ~ .problem")).to_contain_text("cannot be shown")
    await expect(headline(page, "loss")).to_have_text("3 lost on SSE")
    await page.close()


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
        with contextlib.suppress(ProcessLookupError):  # it has ended: its own words say why
            demo.terminate()
        await demo.wait()
