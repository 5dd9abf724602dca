"""What an operator does in the page: the dry run first, then confirmed by name (MG18).
until phase 3
"""

from __future__ import annotations

import time

import pytest
from page_checks import check
from playwright.async_api import Page, expect

from .samples import sample
from .server import Dashboard
from .support import TOKEN, picture, show, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


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


async def test_what_is_asked_for_and_its_limits_are_the_servers(page: Page, server: Dashboard) -> None:
    server.actions["cutover"]["asks"] = [
        {"name": "percent", "required": True, "kind": "number", "least": 5, "most": 40},
        {"name": "tenant", "required": False, "kind": "text", "longest": 7},
    ]
    await show(page, server)
    await sign_in(page)
    await page.get_by_role("button", name="Move… users of chat").click()
    await page.keyboard.type("41")
    await page.locator("#act-tenant").press_sequentially("acme-europe")
    await expect(page.locator("#act-tenant")).to_have_value("acme-eu")
    await page.keyboard.press("Enter")
    assert await page.locator("#act-percent").evaluate("input => input.validity.rangeOverflow")
    assert server.asked == []
    await page.locator("#act-percent").fill("40")
    await page.keyboard.press("Enter")
    await expect(page.locator("#act .outcome")).to_have_text("Dry run: this is what would be done.")
    assert server.asked[-1]["arguments"] == {"feature": "chat", "percent": 40, "tenant": "acme-eu"}


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
    await picture(page, "dashboard-roll-back.png")
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
    await expect(act.locator(".sentences li")).to_have_text(["Nobody of presence is moved: it stays at 0 %."])


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
