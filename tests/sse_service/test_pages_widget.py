"""The widget on another site's page (SQ8): one script tag, back-off, history, every message once, two tabs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from sse_service.settings import Settings

from .browser_support import shot, until
from .pages_support import Tabs, tabs_of, tokens

pytestmark = [pytest.mark.integration, pytest.mark.browser]

HOST = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title><h1>A shop</h1>
<script src="{service}/chat/widget.js"></script>
<ws2sse-chat heading="Support" transport="{transport}"></ws2sse-chat>
<script src="/page.js"></script>"""

PAGE = """document.querySelector('ws2sse-chat').token = async () => (await fetch('/token')).text()
window.heard = []
addEventListener('ws2sse-message', event => heard.push(event.detail.text))"""

POLICY = (
    "default-src 'none'; script-src 'self' {service}; style-src {service}; connect-src 'self' {service}; "
    "img-src {service}; base-uri 'none'"
)


class Shop:
    """Somebody's page: another origin, a strict policy, and an own address for tokens."""

    def __init__(self, token: Any) -> None:
        self.service = ""
        self.transport = "sse"
        self.token = token
        self.asked = 0
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application()

        async def page(_: web.Request) -> web.Response:
            text = HOST.format(service=self.service, transport=self.transport)
            headers = {"Content-Security-Policy": POLICY.format(service=self.service)}
            return web.Response(text=text, content_type="text/html", headers=headers)

        async def script(_: web.Request) -> web.Response:
            return web.Response(text=PAGE, content_type="text/javascript")

        async def token(_: web.Request) -> web.Response:
            self.asked += 1
            return web.Response(text=self.token("ann"))

        app.router.add_get("/", page)
        app.router.add_get("/page.js", script)
        app.router.add_get("/token", token)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner


@pytest.fixture
async def shop(jwt_secret: str) -> AsyncIterator[Shop]:
    made = Shop(tokens(jwt_secret))
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def tabs(jwt_secret: str) -> AsyncIterator[Tabs]:
    async with tabs_of(jwt_secret, width=1000, height=700) as made:
        yield made


@pytest.fixture
async def service(start_service: Any, settings: Settings, shop: Shop) -> Any:
    started = await start_service(
        settings.replace(cors_origins=(shop.url,), support_participants=("helper",), retry_ms=50)
    )
    shop.service = started.url
    return started


async def visit(tabs: Tabs, shop: Shop) -> Page:
    page = await tabs.blank()
    await page.goto(shop.url)
    await until(page, "document.querySelector('ws2sse-chat').chat?.state === 'live'")
    return page


async def help_with(service: Any, text: str) -> None:
    body = {"conversationId": "support-ann", "message": text}
    answer = await service.post("/api/chat/send", "helper", body)
    assert answer.is_success, answer.text


async def rows(page: Page, wanted: list[str]) -> None:
    await expect(page.locator("ws2sse-chat article .text")).to_have_text(wanted)


@pytest.mark.parametrize("transport", ["sse", "drop-in"])
async def test_sq8_two_tabs_receive_everything_across_a_cut(
    service: Any, shop: Shop, tabs: Tabs, transport: str
) -> None:
    shop.transport = transport
    one, two = await visit(tabs, shop), await visit(tabs, shop)
    assert await one.evaluate("document.querySelector('ws2sse-chat').chat.transportName") == transport
    await one.get_by_role("button", name="Open chat").click()
    await expect(one.get_by_role("dialog", name="Support")).to_be_visible()
    box = one.get_by_role("textbox", name="Message")
    await expect(box).to_be_focused()
    await box.fill("Where is my order?")
    await box.press("Enter")
    await expect(one.locator("ws2sse-chat .tick")).to_have_count(1)  # it has been stored, before what answers it
    # Nobody looks at it: headless pages all believe to be in front, and would read it for all tabs.
    await one.evaluate("document.hasFocus = () => false")
    await help_with(service, "On its way.")
    # The other tab has it too, closed as it is, and counts what was not read.
    await expect(two.locator("ws2sse-chat .unread")).to_have_text("1")
    await two.get_by_role("button", name="Open chat").click()
    for tab in (one, two):
        await rows(tab, ["Where is my order?", "On its way."])
    await expect(one.locator("ws2sse-chat .tick").first).to_have_attribute("data-read", "false")
    await shot(one, f"widget-{transport}.png")
    await tabs.context.set_offline(True)
    await box.fill("written offline")
    await box.press("Enter")
    for n in range(3):
        await help_with(service, f"meanwhile {n}")
    await tabs.context.set_offline(False)
    for tab in (one, two):
        await expect(tab.locator("ws2sse-chat article")).to_have_count(6)
        found = await tab.locator("ws2sse-chat article .text").all_inner_texts()
        assert sorted(found) == sorted(
            ["Where is my order?", "On its way.", "written offline", *(f"meanwhile {n}" for n in range(3))]
        )
    assert len(await one.evaluate("heard")) == 6
    assert await one.locator("ws2sse-chat .unsent .row").count() == 0


async def test_a_new_token_is_asked_for_when_one_ends(
    start_service: Any, settings: Settings, shop: Shop, tabs: Tabs, jwt_secret: str
) -> None:
    """Tokens of two seconds: the page's function is asked again and again, nobody notices."""
    from sse_service.testing import make_token

    shop.token = lambda user: make_token(jwt_secret, user, expires_at=time.time() + 2)
    service = await start_service(
        settings.replace(cors_origins=(shop.url,), support_participants=("helper",), retry_ms=50)
    )
    shop.service = service.url
    page = await visit(tabs, shop)
    began = time.monotonic()
    wanted = []
    while time.monotonic() - began < 4:
        wanted.append(f"n{len(wanted)}")
        await help_with(service, wanted[-1])
        await asyncio.sleep(0.25)
    await page.get_by_role("button", name="Open chat").click()
    await rows(page, wanted)
    assert shop.asked > 3


async def test_back_off_grows_and_ends_with_the_first_success(service: Any, shop: Shop, tabs: Tabs) -> None:
    """While the service is away the widget asks ever more rarely; it does not storm, and comes back."""
    page = await visit(tabs, shop)
    attempts: list[float] = []
    refuse = {"on": True}

    async def stream(route: Any) -> None:
        if refuse["on"]:
            attempts.append(time.monotonic())
            await route.fulfill(status=503, headers={"access-control-allow-origin": shop.url})
        else:
            await route.continue_()

    await page.route("**/api/chat/stream", stream)
    await page.evaluate("document.querySelector('ws2sse-chat').chat.transport.cut()")
    async with asyncio.timeout(20):
        while len(attempts) < 4:
            await asyncio.sleep(0.02)
    assert await page.evaluate("document.querySelector('ws2sse-chat').chat.transport.failures") >= 4
    await help_with(service, "said while it was away")
    refuse["on"] = False
    await page.get_by_role("button", name="Open chat").click()
    await rows(page, ["said while it was away"])
    assert await page.evaluate("document.querySelector('ws2sse-chat').chat.transport.failures") == 0


async def test_the_widget_by_keyboard_and_on_a_phone(service: Any, shop: Shop, tabs: Tabs) -> None:
    page = await tabs.blank()
    await page.set_viewport_size({"width": 360, "height": 640})
    await page.goto(shop.url)
    await until(page, "document.querySelector('ws2sse-chat').chat?.state === 'live'")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    await rows(page, ["hello"])
    box = await page.locator("ws2sse-chat .panel").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["y"] >= 0
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await shot(page, "widget-phone.png")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Open chat")).to_be_focused()
