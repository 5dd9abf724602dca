"""The chat page in a real Chromium (DC4, DC5): nothing missing, nothing twice, whatever happens around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Route, expect

from sse_service.settings import Settings

from .pages_support import Tabs, choose, live, say, shown, switch, tabs_of, texts, until_texts

pytestmark = [pytest.mark.integration, pytest.mark.browser]


@pytest.fixture
async def tabs(jwt_secret: str) -> AsyncIterator[Tabs]:
    async with tabs_of(jwt_secret) as made:
        yield made


async def test_dc4_list_history_and_live_messages_of_two_users(service: Any, tabs: Tabs) -> None:
    """Partners left with their unread count, the conversation right with its history, typing and ticks live."""
    for n in range(3):
        await service.post("/api/chat/send", "bob", {"with": "ann", "message": f"early {n}"})
    ann = await tabs.open(service.url, "ann")
    # The latest conversation is open and before her eyes: read at once.
    await expect(ann.locator("#title")).to_have_text("bob")
    assert await shown(ann) == ["early 0", "early 1", "early 2"]
    await expect(ann.locator(".unread")).to_have_count(0)
    # Headless pages all believe to be in front.
    await ann.evaluate("document.hasFocus = () => false")
    bob = await tabs.open(service.url, "bob", "ann")
    await say(bob, "typed by bob")
    await until_texts(ann, ["early 0", "early 1", "early 2", "typed by bob"])
    # ann looks elsewhere: the badge counts, and the tick is that of a message that was only sent.
    await expect(bob.locator("article.mine .tick").last).to_have_attribute("data-read", "false")
    await expect(bob.locator("article.mine .tick").first).to_have_attribute("data-read", "true")
    await expect(ann.locator(".unread")).to_have_text("1")
    await expect(ann).to_have_title("(1) Chat")
    await ann.evaluate("document.hasFocus = () => true; dispatchEvent(new Event('focus'))")
    await expect(bob.locator("article.mine .tick").last).to_have_attribute("data-read", "true")
    await expect(ann.locator(".unread")).to_have_count(0)
    await ann.locator("#text").press_sequentially("hm")
    await expect(bob.locator("#typing")).to_have_text("ann is typing …")
    await ann.locator("#text").fill("")
    await expect(bob.locator("#typing")).to_have_text("")


async def test_a_conversation_that_the_first_message_makes(service: Any, tabs: Tabs) -> None:
    ann = await tabs.open(service.url, "ann")
    await ann.locator("#new").click()
    await ann.locator("#whom").fill("carol")
    await ann.keyboard.press("Enter")
    await expect(ann.locator("#title")).to_have_text("carol")
    for text in ("first", "second", "third"):
        await say(ann, text)
    await until_texts(ann, ["first", "second", "third"])
    await expect(ann.locator(".entry")).to_have_count(1)
    await expect(ann.locator(".unsent .row")).to_have_count(0)
    carol = await tabs.open(service.url, "carol")
    await until_texts(carol, ["first", "second", "third"])
    await say(carol, "fourth")
    await until_texts(ann, ["first", "second", "third", "fourth"])
    assert await ann.evaluate("location.hash") == "#direct%3Aann%23carol"


async def test_two_tabs_of_one_user_and_a_reload(service: Any, tabs: Tabs) -> None:
    """Both tabs get everything, what either sends included, once; a reload stays signed in and where it was."""
    await service.room()
    one = await tabs.open(service.url, "ann", "#main")
    two = await tabs.open(service.url, "ann", "#main")
    wanted = []
    for n in range(6):
        await say([one, two][n % 2], f"tab {n % 2} says {n}")
        wanted.append(f"tab {n % 2} says {n}")
        await until_texts([two, one][n % 2], wanted)
    await service.say("bob", "same text")
    await service.say("bob", "same text")
    wanted += ["same text"] * 2
    for tab in (one, two):
        await until_texts(tab, wanted)
    await one.reload()
    await live(one)
    await until_texts(one, wanted)
    assert await shown(one) == wanted
    assert "token" not in one.url


@pytest.mark.parametrize("transport", ["sse", "drop-in"])
async def test_the_network_is_cut_and_comes_back(service: Any, tabs: Tabs, transport: str) -> None:
    """What was written meanwhile is sent, what was said meanwhile arrives; all of it once."""
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main", transport=transport)
    await live(ann, transport)
    await say(ann, "before")
    await until_texts(ann, ["before"])
    await tabs.context.set_offline(True)
    await say(ann, "written offline 1")
    await say(ann, "written offline 2")
    await expect(ann.locator(".unsent .row")).to_have_count(2)
    for n in range(60):  # more than a page of history
        await service.say("bob", f"missed {n}")
    await tabs.context.set_offline(False)
    async with asyncio.timeout(20):
        while len(await texts(ann)) < 63:
            await asyncio.sleep(0.05)
    await live(ann, transport)
    found = await texts(ann)
    assert found[0] == "before"
    assert [text for text in found if text.startswith("missed")] == [f"missed {n}" for n in range(60)]
    assert [text for text in found if text.startswith("written")] == ["written offline 1", "written offline 2"]
    assert len(found) == 63
    await expect(ann.locator(".unsent .row")).to_have_count(0)


async def test_an_answer_that_is_lost_sends_nothing_twice(service: Any, tabs: Tabs) -> None:
    """Every other answer to a send is dropped on its way back; the repeat has the same key."""
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    seen: list[str] = []

    async def drop(route: Route) -> None:
        seen.append(route.request.url)
        if len(seen) % 2:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await ann.route("**/api/chat/send", drop)
    wanted = [f"n{n}" for n in range(8)]
    for text in wanted:
        await say(ann, text)
    await until_texts(ann, wanted)
    await expect(ann.locator(".unsent .row")).to_have_count(0)
    history = (await service.get("/api/chat/history?conversationId=main", "bob")).json()["messages"]
    assert [row["message"] for row in history] == wanted
    assert len(seen) > 8


async def test_what_is_refused_can_be_sent_again_or_thrown_away(service: Any, tabs: Tabs) -> None:
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    refuse = {"on": True}

    async def answer(route: Route) -> None:
        if refuse["on"]:
            await route.fulfill(status=403, json={"detail": "not today"})
        else:
            await route.continue_()

    await ann.route("**/api/chat/send", answer)
    await say(ann, "one")
    await say(ann, "two")
    failed = ann.locator(".unsent .row[data-state=failed]")
    await expect(failed).to_have_count(2)
    await expect(failed.first.locator(".why")).to_have_text("Not sent: not today")
    await failed.first.get_by_role("button", name="Discard").click()
    refuse["on"] = False
    await failed.get_by_role("button", name="Send again").click()
    await until_texts(ann, ["two"])


async def test_the_transport_is_switched_in_mid_conversation(service: Any, tabs: Tabs) -> None:
    """SSE, drop-in and back, while both sides go on talking: nothing missing, nothing twice, in order."""
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    stop = asyncio.Event()
    said: list[str] = []

    async def talk() -> None:
        while not stop.is_set():
            said.append(f"bob {len(said)}")
            await service.say("bob", said[-1])
            await asyncio.sleep(0.01)

    talking = asyncio.create_task(talk())
    mine: list[str] = []
    for name in ("drop-in", "sse", "drop-in", "sse"):
        for _ in range(3):
            mine.append(f"ann {len(mine)}")
            await say(ann, mine[-1])
        await switch(ann, name)
    stop.set()
    await talking
    history: list[str] = []
    before = ""
    while True:
        page = (await service.get(f"/api/chat/history?conversationId=main&limit=200{before}", "bob")).json()
        history = [row["message"] for row in page["messages"]] + history
        if not page["before"]:
            break
        before = f"&before={page['before']}"
    await expect(ann.locator(".unsent .row")).to_have_count(0)
    await until_texts(ann, history)
    assert [text for text in history if text.startswith("bob")] == said
    assert [text for text in history if text.startswith("ann")] == mine
    # One stream is left: the others were closed.
    async with asyncio.timeout(10):
        while service.hub.open_streams != 1:
            await asyncio.sleep(0.02)


async def test_a_transport_that_does_not_open_leaves_the_old_one(service: Any, tabs: Tabs) -> None:
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    await ann.route("**/chat/connections", lambda route: route.abort())
    await ann.evaluate("() => { const real = setTimeout; setTimeout = (f, ms) => real(f, ms === 15000 ? 300 : ms) }")
    await ann.locator("#transport").click()
    await ann.locator("#transports input[value=drop-in]").check()
    await expect(ann.locator("#connection")).to_contain_text("Drop-in does not open")
    await live(ann, "sse")
    await expect(ann.locator("#transports input[value=sse]")).to_be_checked()
    await service.say("bob", "still here")
    await until_texts(ann, ["still here"])


@pytest.mark.parametrize("transport", ["sse", "drop-in"])
async def test_the_server_is_restarted_on_a_durable_log(
    start_service: Any, dynamo_tables: Settings, tabs: Tabs, transport: str
) -> None:
    """The same port, the same tables, a new process: what was said before, meanwhile and after is there once."""
    first = await start_service(dynamo_tables)
    await first.room()
    settings = dynamo_tables.replace(port=first.port)
    ann = await tabs.open(first.url, "ann", "#main", transport=transport)
    await live(ann, transport)
    await say(ann, "before")
    await until_texts(ann, ["before"])
    await first.stop()
    await expect(ann.locator("#transport")).not_to_have_attribute("data-state", "live")
    await say(ann, "while it was down")
    # Another instance on another port: somebody speaks meanwhile.
    other = await start_service(dynamo_tables.replace(port=0))
    await other.say("bob", "said elsewhere")
    second = await start_service(settings)
    await live(ann, transport)
    await second.say("bob", "after")
    async with asyncio.timeout(20):
        while len(await texts(ann)) < 4:
            await asyncio.sleep(0.05)
    assert sorted(await texts(ann)) == ["after", "before", "said elsewhere", "while it was down"]
    await expect(ann.locator(".unsent .row")).to_have_count(0)


async def test_rotations_and_an_expired_token(
    start_service: Any, settings: Settings, tabs: Tabs, jwt_secret: str
) -> None:
    """Streams of a second; then the token ends: the page asks, keeps what was not sent, and goes on."""
    service = await start_service(settings.replace(max_age_s=1, heartbeat_s=0.5, retry_ms=20))
    await service.room()
    now = time.time()
    from sse_service.testing import make_token

    page = await tabs.blank()
    await page.goto(f"{service.url}/chat#token={make_token(jwt_secret, 'ann', expires_at=now + 4)}")
    await live(page)
    await choose(page, "#main")
    wanted = []
    for n in range(12):
        wanted.append(f"n{n}")
        await service.say("bob", wanted[-1])
        await asyncio.sleep(0.1)
    await until_texts(page, wanted)
    await expect(page.locator("#signin")).to_be_visible()
    await expect(page.locator("#signin-why")).to_contain_text("expired")
    await service.say("bob", "while signed out")
    await page.locator("#token").fill(tabs.token("ann"))
    await page.keyboard.press("Enter")
    await until_texts(page, [*wanted, "while signed out"])
    await say(page, "back")
    await until_texts(page, [*wanted, "while signed out", "back"])


async def test_ids_instead_of_messages(start_service: Any, settings: Settings, tabs: Tabs) -> None:
    """SSE_NOTIFY=id (SQ3): the page fetches what it is told of."""
    service = await start_service(settings.replace(notify="id"))
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    await service.say("bob", "only its id came")
    await until_texts(ann, ["only its id came"])
    await service.post("/api/chat/send", "bob", {"with": "ann", "message": "direct"})
    await choose(ann, "bob")
    await until_texts(ann, ["direct"])
    await switch(ann, "drop-in")
    await say(ann, "answer")
    await until_texts(ann, ["direct", "answer"])


async def test_text_is_never_markup(service: Any, tabs: Tabs) -> None:
    await service.room()
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    ann = await tabs.open(service.url, "ann", "#main")
    await service.say("mallory", evil, userName=evil)
    await service.say("mallory", "javascript:alert(1) https://example.com/<b>")
    await until_texts(ann, [evil, "javascript:alert(1) https://example.com/<b>"])
    assert await ann.locator("#log img, #log script, #log b").count() == 0
    assert await ann.locator("#log a").get_attribute("href") == "https://example.com/"
    assert await ann.title() == "Chat"


async def send_directly(service: Any, said: list[str]) -> None:
    """Bob says these in "main", as quickly as the service stores them."""
    from sse_service.auth import Principal

    services = service.app.state.services
    who = Principal("bob", "demo", frozenset(), time.time() + 3600)
    room = await services.chat.conversations.admit(who, "main")
    for text in said:
        await services.chat.sending.send(who, room, text)


async def test_the_past_is_shown_once_while_a_gap_is_closed(service: Any, tabs: Tabs) -> None:
    """Scrolling back and catching up at the same time, over messages that were all said within seconds."""
    await service.room()
    await send_directly(service, [f"message {n}" for n in range(450)])
    ann = await tabs.open(service.url, "ann", "#main")
    drawn = await ann.evaluate(
        """async total => {
          const log = document.querySelector('#log')
          const known = [...chat.store.conversations.values()].find(one => one.id === 'main')
          const until = Date.now() + 30000
          const wait = ms => new Promise(resolve => setTimeout(resolve, ms))
          // The page of the past is answered at once, and arrives after all that closes the gap.
          const page = chat.page.bind(chat)
          let asked = 0
          chat.page = async (...of) => {
            const isFirst = asked++ === 0
            const answer = await page(...of)
            if (isFirst) await wait(500)
            return answer
          }
          while (asked === 0 && Date.now() < until) {
            log.scrollTop = 0
            await wait(5)
          }
          await chat.catchUpAll()
          while (known.messages.length < total && Date.now() < until) {
            log.scrollTop = 0
            await wait(5)
          }
          await wait(700)
          return [...log.querySelectorAll('.block')].flatMap(one => one.block.items.map(message => message.text))
        }""",
        450,
    )
    assert drawn == [f"message {n}" for n in range(450)]


@pytest.mark.timeout(300)
async def test_ten_thousand_messages_scroll(service: Any, tabs: Tabs) -> None:
    """All of them by paging backwards, then from end to end: the document stays small, no message lacks or doubles,
    and the place does not jump."""
    await service.room()
    total = 10_000
    await send_directly(service, [f"message {n} " + "word " * (n % 23) for n in range(total)])
    ann = await tabs.open(service.url, "ann", "#main")
    # Paging as a scroll to the top does, again and again.
    await ann.evaluate(
        """async total => {
          const log = document.querySelector('#log')
          const known = [...chat.store.conversations.values()].find(one => one.id === 'main')
          const until = Date.now() + 150000
          while (known.messages.length < total && Date.now() < until) {
            log.scrollTop = 0
            await new Promise(resolve => requestAnimationFrame(resolve))
          }
        }""",
        total,
    )
    found = [text.split()[1] for text in await texts(ann)]
    assert found == [str(n) for n in range(total)]
    assert await ann.locator("#log article").count() < 800
    # From end to end in steps: every message is drawn once while it is near, and in order.
    seen = await ann.evaluate(
        """async () => {
          const log = document.querySelector('#log')
          const seen = new Set()
          let wrong = 0, most = 0, longest = 0, blank = 0, steps = 0
          log.scrollTop = 0
          await new Promise(resolve => setTimeout(resolve, 100))
          for (;;) {
            const began = performance.now()
            const rows = [...log.querySelectorAll('article')]
            const numbers = rows.map(row => Number(row.querySelector('.text').textContent.split(' ')[1]))
            numbers.forEach((number, at) => { seen.add(number); if (at && number <= numbers[at - 1]) wrong += 1 })
            most = Math.max(most, rows.length)
            const middle = log.getBoundingClientRect()
            const under = document.elementFromPoint(middle.x + middle.width / 3, middle.y + middle.height / 2)
            if (under?.classList.contains('block') && !under.firstChild) blank += 1
            const last = log.scrollTop
            log.scrollTop += 1400
            await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))
            longest = Math.max(longest, performance.now() - began)
            steps += 1
            if (log.scrollTop <= last) break
          }
          return { seen: seen.size, wrong, most, longest, blank, steps }
        }"""
    )
    assert seen["seen"] == total and seen["wrong"] == 0
    assert seen["most"] < 800
    assert seen["blank"] == 0
    # A message that comes meanwhile is at the end, once, and does not move what is read.
    place = await ann.evaluate("document.querySelector('#log').scrollTop = 100000")
    await ann.wait_for_timeout(300)
    first = await ann.evaluate("document.querySelector('#log').scrollTop")
    await service.say("bob", "the latest")
    await expect(ann.locator("#down")).to_have_attribute("aria-label", "1 new messages, go to the latest")
    assert abs(await ann.evaluate("document.querySelector('#log').scrollTop") - first) <= 1, place
    await ann.locator("#down").click()
    await expect(ann.locator("#log article").last).to_contain_text("the latest")
