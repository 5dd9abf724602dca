"""What the page says when it does not know, or when what it knows contradicts itself (MG18).
until phase 3
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from page_checks import check
from playwright.async_api import Page, expect

from .samples import compared, entry, item, sample
from .server import Dashboard
from .support import headline, picture, show, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CAUSE = "http://127.0.0.1:4566 does not answer"
ALL = ("cutover", "verdicts", "journal", "phases", "drain", "sweep", "resources", "shadow", "sse-metrics")


def gone(*names: str, since: float | None = None) -> list[dict[str, Any]]:
    now = time.time()
    return [{"name": name, "state": "away", "why": CAUSE, "at": now, "since": since or now - 60} for name in names]


async def test_stacks_that_are_down_are_not_called_at_rest(page: Page, server: Dashboard) -> None:
    """Nobody knows whether something runs: nothing says that nothing does, and nothing is offered."""
    server.sections["jobs"] = []
    server.sections["sources"] = gone(*ALL)
    await show_blind(page, server)
    for answer in ("loss", "who", "running", "next"):
        await expect(headline(page, answer)).to_have_text("Not known")
        await expect(page.locator(f"#answer-{answer}")).to_contain_text("not known since ")
    await expect(page.locator("#answer-who")).to_contain_text("Known last: chat 25 %")
    await expect(page.locator("#jobs-empty")).not_to_be_visible()
    note = page.locator("h2#jobs-title ~ .not-known")
    await expect(note).to_contain_text("(drain, sweep, resources away)")
    assert await note.evaluate("note => note.compareDocumentPosition(document.querySelector('#jobs-more'))") == 4
    assert await page.locator("nav").evaluate("nav => nav.scrollWidth <= nav.clientWidth")
    strip = page.locator("#sources-away")
    assert (await strip.inner_text()).count("does not answer") == 1
    await expect(strip).to_contain_text(f"9 of 9 sources do not answer: {', '.join(ALL)} ({CAUSE})")
    await expect(page.locator("#sources td[data-label='Last answer']").first).to_contain_text("before ")
    await sign_in(page)
    for name in ("Move… users of chat", "Start drain…", "Pause shadow…", "Resume shadow…", "Kill shadow…"):
        await expect(page.get_by_role("button", name=name)).to_be_disabled()
    await expect(page.locator("#shadow-why")).to_contain_text("not known since ")
    # The way back is never taken away.
    await expect(page.get_by_role("button", name="Roll back… chat to WebSocket")).to_be_enabled()
    await check(page)
    await picture(page, "dashboard-unknown.png")
    await server.update("bridge", {"state": "down", "since": None, "problem": ""})
    await expect(strip).to_have_text(
        "The stacks of `migrate up` are down, and 9 of 9 sources with them: `migrate up` starts them."
    )
    await server.update("sources", sample()["sources"])
    await expect(page.locator("#stream")).to_have_text("live")
    await expect(headline(page, "who")).to_have_text("chat 25 %")
    await expect(page.locator("#jobs-empty")).to_be_visible()
    await expect(page.get_by_role("button", name="Move… users of chat")).to_be_enabled()


async def show_blind(page: Page, server: Dashboard) -> None:
    await page.goto(server.url)
    await expect(page.locator("#stream")).to_have_text("live, 9 of 9 away")
    await expect(page.locator("#stream")).to_have_attribute("data-state", "blind")


async def test_a_bridge_that_is_down_is_seen(page: Page, server: Dashboard) -> None:
    server.sections["bridge"] = {"state": "running", "since": time.time(), "problem": ""}
    await show(page, server)
    strip = page.locator("#bridge-down")
    await expect(strip).not_to_be_visible()
    await server.update("bridge", {"state": "held", "since": time.time(), "problem": ""})
    await expect(strip).to_contain_text("The bridge is stopped since ")
    await expect(strip).to_contain_text("`migrate bridge start` delivers them")
    await expect(page.locator("#announce")).to_contain_text("The bridge is stopped")
    await server.update("bridge", {"state": "running", "since": time.time(), "problem": "the SSE service: HTTP 503"})
    await expect(strip).to_have_text("The bridge has a problem: the SSE service: HTTP 503")
    await server.update("bridge", {"state": "running", "since": time.time(), "problem": ""})
    await expect(strip).not_to_be_visible()


async def test_open_gates_beside_a_comparison_that_fails_are_doubted(page: Page, server: Dashboard) -> None:
    failing = compared("chat", "fail", missing=22, source="live", reasons=["22 are missing"])
    server.sections["comparison"]["features"] = [failing]
    await show(page, server)
    card = page.locator("#cutover .card").first
    await expect(card.locator(".chip")).to_have_text("gates open, comparison fails")
    await expect(card.locator(".chip")).to_have_attribute("data-tone", "bad")
    await expect(card.locator(".reasons")).to_contain_text("`migrate compare` stores one")
    await server.update("comparison", {"at": time.time(), "features": [compared("chat", source="live")]})
    await expect(card.locator(".chip")).to_have_text("gates open")


async def test_the_way_past_a_gate_is_a_command_for_the_terminal(page: Page, server: Dashboard) -> None:
    server.options = "--config=/srv/chat/migrate.toml"
    gates = [
        {"name": "comparison", "state": "unsure", "reason": "nothing was compared"},
        {"name": "capture", "state": "open", "reason": "complete"},
    ]
    server.answers["cutover", False] = {
        "command": ["migrate", "cutover"], "exit_code": 4, "stderr": "error: nobody is moved\n",
        "stdout": {"percent": 25.0, "gates": gates, "steps": []},
    }  # fmt: skip
    await show(page, server)
    await sign_in(page)
    await page.get_by_role("button", name="Move… users of chat").click()
    await page.locator("#act-percent").fill("50")
    await page.locator("#act-tenant").fill("o'neill & co")
    await page.keyboard.press("Enter")
    past = page.locator("#act-past")
    await expect(past).to_contain_text("This page does not do it")
    await expect(past.locator("code")).to_have_text(
        "migrate cutover chat --percent 50 --tenant 'o'\\''neill & co' --without-gate comparison "
        '--note "…" --execute --config=/srv/chat/migrate.toml'
    )
    await expect(past.get_by_role("button", name="Copy")).to_be_visible()
    await check(page)


@pytest.mark.parametrize(
    ("said", "commands"),
    [
        ("migrate compare --config '/a b/migrate.toml'", ["migrate compare --config '/a b/migrate.toml'"]),
        ("migrate phase1 --source DIR --config x.toml, DIR being your code's directory",
         ["migrate phase1 --source DIR --config x.toml"]),
        ("migrate shadow start --config x, then migrate compare --config x",
         ["migrate shadow start --config x", "migrate compare --config x"]),
        ("name your features as [[features]] in x.toml", []),
        ("let CI run `migrate scan . --fail-on-new`, as docs/examples/ci-scan.yml does: copy it", []),
        ('let CI run, in the repository\'s root: pip install "ws2sse[migrate]" && migrate scan . --fail-on-new',
         ['pip install "ws2sse[migrate]" && migrate scan . --fail-on-new']),
        ("leave it running (migrate shadow status --config x), then wait", ["migrate shadow status --config x"]),
    ],
)  # fmt: skip
async def test_only_a_command_can_be_copied(page: Page, server: Dashboard, said: str, commands: list[str]) -> None:
    server.sections["phases"] = [
        {"phase": 1, "title": "Phase 1", "closed": None, "items": [item(1, "open", "Something", next_command=said)]}
    ]
    await page.add_init_script(
        "window.copied = []; Object.defineProperty(navigator, 'clipboard',"
        " { value: { writeText: async text => { copied.push(text) } } })"
    )
    await show(page, server)
    await expect(page.locator("#phases .next code")).to_have_text(commands)
    buttons = page.locator("#phases .next button")
    await expect(buttons).to_have_count(len(commands))
    for place in range(len(commands)):
        await buttons.nth(place).click()
    assert await page.evaluate("copied") == commands


async def test_a_command_on_a_phone_has_the_whole_line_and_a_path_its_breaks(page: Page, server: Dashboard) -> None:
    await page.set_viewport_size({"width": 360, "height": 780})
    command = (
        "migrate phase1 --source /srv/applications/harbour-chat --config /srv/applications/harbour-chat/migrate.toml"
    )
    server.sections["phases"] = [
        {"phase": 1, "title": "Phase 1", "closed": None, "items": [item(1, "open", "Something", next_command=command)]}
    ]
    await show(page, server)
    code = page.locator("#phases .next code")
    box = await code.bounding_box()
    assert box is not None and box["width"] > 270
    # Each line of it ends at a space, or behind a slash.
    ends = await code.evaluate(
        """code => {
          const ends = []
          let last = null
          const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT)
          let before = ''
          for (let node = walker.nextNode(); node; node = walker.nextNode())
            for (let at = 0; at < node.length; at += 1) {
              const range = document.createRange()
              range.setStart(node, at); range.setEnd(node, at + 1)
              const top = Math.round(range.getBoundingClientRect().top)
              if (last !== null && top > last + 3) ends.push(before)
              last = top
              before = node.data[at]
            }
          return ends
        }"""
    )
    assert len(ends) > 1
    assert set(ends) <= {" ", "/", "-"}


async def test_the_journal_leaves_out_what_says_nothing(page: Page, server: Dashboard) -> None:
    told = {"features": ["chat", "runs"], "tenant": None, "foreground": False, "note": "", "percent": 0}
    server.sections["journal"] = [entry(1, arguments=told)]
    await show(page, server)
    await expect(page.locator("#journal td[data-label=With]")).to_have_text("features=chat,runs percent=0")
