"""The chat page for everybody: names, roles, contrast, keyboard, small screens, and files (DC4, DC5)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import boto3
import httpx
import pytest
from playwright.async_api import Page, expect

from sse_service.settings import Settings

from .browser_support import shot, until
from .page_checks import check
from .pages_support import Tabs, choose, live, say, switch, tabs_of, texts, until_texts

pytestmark = [pytest.mark.integration, pytest.mark.browser]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
async def tabs(jwt_secret: str) -> AsyncIterator[Tabs]:
    async with tabs_of(jwt_secret) as made:
        yield made


async def talk(service: Any) -> None:
    await service.room()
    await service.room("design")
    for n, (user, text) in enumerate(
        [
            ("bob", "Did the stream survive the deploy?"),
            ("葵", "はい、切断は一度もありませんでした ☀️"),
            ("ann", "Great, see https://example.com/graphs"),
            ("민준", "네, 재연결 없이 잘 됐어요"),
            ("عمر", "هل وصلت الرسالة إلى الجميع؟"),
            ("bob", "a" * 300),
        ]
    ):
        await service.say(user, text, "main" if n != 3 else "design")
    await service.post("/api/chat/send", "bob", {"with": "ann", "message": "Have a look when you can."})


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_names_roles_and_contrast_in_every_state(service: Any, tabs: Tabs, scheme: Any) -> None:
    await talk(service)
    page = await tabs.blank()
    await page.emulate_media(color_scheme=scheme)
    await page.goto(f"{service.url}/chat")
    await expect(page.locator("#token")).to_be_focused()
    await check(page)
    await shot(page, f"signin-{scheme}.png")
    await page.locator("#token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="not accepted")).to_be_visible()
    await check(page)
    await page.locator("#token").fill(tabs.token("ann"))
    await page.keyboard.press("Enter")
    await live(page)
    await choose(page, "#main")
    await say(page, "from here")
    await expect(page.locator("#log article")).to_have_count(6)
    for role, name in (
        ("main", "#main"),
        ("navigation", "Conversations"),
        ("region", "Messages of this conversation"),
        ("feed", "Messages"),
        ("textbox", "Message"),
        ("button", "Send"),
        ("button", "Attach a file"),
        ("button", "New conversation"),
        ("button", "Sign out"),
        ("button", "SSE connected"),
    ):
        await expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    await check(page)
    await shot(page, f"chat-{scheme}.png")
    await page.locator("#transport").click()
    await expect(page.get_by_role("radio", name="Drop-in WebSocket's interface over SSE and POST")).to_be_enabled()
    await expect(page.get_by_role("radio", name="WebSocket Not set up here")).to_be_disabled()
    await check(page)
    await page.keyboard.press("Escape")
    await page.locator("#new").click()
    await expect(page.get_by_role("dialog", name="New conversation")).to_be_visible()
    await check(page)


async def test_by_keyboard_alone(service: Any, tabs: Tabs) -> None:
    """Sign in, choose a conversation, read it, write, change the transport, start another: without a mouse."""
    await talk(service)
    page = await tabs.blank()
    await page.goto(f"{service.url}/chat")
    await expect(page.locator("#token")).to_be_focused()
    await page.keyboard.insert_text(tabs.token("ann"))
    await page.keyboard.press("Enter")
    await live(page)
    await page.evaluate("document.activeElement.blur()")

    async def tab_to(selector: str) -> None:
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await page.locator(f"{selector}:focus").count():
                outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{selector} has the focus and does not show it"
                return
        raise AssertionError(f"{selector} cannot be reached by the Tab key")

    await tab_to(".skip")
    await tab_to(".entry")
    while not await page.locator(".entry:focus", has_text="#main").count():
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator("#title")).to_have_text("#main")
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.locator("#log article").last.locator(".text")).to_have_text("one\ntwo")
    await expect(page.locator("#text")).to_be_focused()
    await tab_to("#transport")
    await page.keyboard.press("Enter")
    await expect(page.locator("#transports input:focus")).to_have_count(1)
    await page.keyboard.press("ArrowDown")
    await live(page, "drop-in")
    await expect(page.locator("#transports")).not_to_be_visible()
    await tab_to("#new")
    await page.keyboard.press("Enter")
    await page.keyboard.type("carol")
    await page.keyboard.press("Enter")
    await expect(page.locator("#title")).to_have_text("carol")
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    await until_texts(page, ["hello"])


async def test_new_messages_are_spoken_once_and_not_redrawn_ones(service: Any, tabs: Tabs) -> None:
    await talk(service)
    page = await tabs.open(service.url, "ann", "#main")
    await service.say("bob", "for the ears")
    await expect(page.get_by_role("status").filter(has_text="bob: for the ears")).to_have_count(1)
    assert await page.locator("#log [aria-live], #log[aria-live]").count() == 0
    await service.say("bob", "elsewhere", "design")
    await expect(page.locator("#announce")).to_have_text("bob in #design: elsewhere")


async def test_a_phone_of_360_pixels(service: Any, tabs: Tabs) -> None:
    """List or conversation, a way back, nothing cut off sideways, targets large enough (WCAG 2.2, 2.5.8)."""
    await talk(service)
    page = await tabs.blank()
    await page.set_viewport_size({"width": 360, "height": 640})
    await page.goto(f"{service.url}/chat#token={tabs.token('ann')}")
    await live(page)
    await expect(page.locator("nav")).to_be_visible()
    await expect(page.locator("main")).not_to_be_visible()
    await expect(page.locator(".entry")).to_have_count(3)
    await check(page)
    await shot(page, "phone-list.png")
    await choose(page, "#main")
    await expect(page.locator("nav")).not_to_be_visible()
    await expect(page.locator("#log article")).to_have_count(5)
    await check(page)
    await shot(page, "phone-chat.png")
    box = await page.locator("#text").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 640 and box["width"] > 180
    small = await page.evaluate(
        """[...document.querySelectorAll('main button')].filter(b => b.checkVisibility())
             .map(b => b.getBoundingClientRect()).filter(r => r.width < 24 || r.height < 24).length"""
    )
    assert small == 0
    await page.locator("#back").click()
    await expect(page.locator("nav")).to_be_visible()


async def test_less_motion(service: Any, tabs: Tabs) -> None:
    await talk(service)
    page = await tabs.open(service.url, "ann", "#main")
    animated = "document.querySelector('#log article:last-child').getAnimations().length"
    await page.emulate_media(reduced_motion="reduce")
    await service.say("bob", "still")
    await expect(page.locator("#log article").last).to_contain_text("still")
    assert await page.evaluate(animated) == 0


async def test_the_token_is_in_no_address(service: Any, tabs: Tabs) -> None:
    """Not in requests, not in the history; gone after signing out."""
    await service.room()
    page = await tabs.blank()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    token = tabs.token("ann")
    await page.goto(f"{service.url}/chat#token={token}")
    await live(page)
    await say_and_reload(page)
    assert token not in page.url
    # The first is the address that the link itself had; what leaves the browser has no fragment.
    assert not any(token in url.split("#")[0] for url in urls)
    assert not any(token in url for url in urls[1:])
    await page.locator("#leave").click()
    await expect(page.locator("#signin")).to_be_visible()
    assert await page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])") == (
        '[{},{},""]'
    )


async def say_and_reload(page: Page) -> None:
    await choose(page, "#main")
    await say(page, "hello")
    await until_texts(page, ["hello"])
    await page.reload()
    await live(page)


async def test_development_sign_in(start_service: Any, settings: Settings, tabs: Tabs) -> None:
    """SSE_DEV_AUTH=1: a name is enough, over SSE and over the drop-in."""
    service = await start_service(settings.replace(dev_auth=1))
    await service.room()
    page = await tabs.blank()
    await page.goto(f"{service.url}/chat")
    await page.locator("#name").fill("dora")
    await page.keyboard.press("Enter")
    await live(page)
    await choose(page, "#main")
    await say(page, "hello")
    await until_texts(page, ["hello"])
    await switch(page, "drop-in")
    await say(page, "over the drop-in")
    await until_texts(page, ["hello", "over the drop-in"])
    await expect(page.locator("article.mine")).to_have_count(2)


# Files -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def with_bucket(start_service: Any, settings: Settings, moto_url: str) -> Any:
    s3 = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    s3.create_bucket(Bucket="uploads-of-pages")
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["POST", "GET"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(Bucket="uploads-of-pages", CORSConfiguration={"CORSRules": [rule]})
    return await start_service(
        settings.replace(
            uploads_bucket="uploads-of-pages", aws_endpoint_url=moto_url, region="us-east-1", uploads_max_bytes=5000
        )
    )


async def test_dc5_a_picture_goes_to_the_other_side(with_bucket: Any, tabs: Tabs) -> None:
    """Chosen, uploaded to S3 by the page itself, previewed, sent, seen by the other user, in the right order."""
    service = with_bucket
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    bob = await tabs.open(service.url, "bob", "#main", transport="drop-in")
    await ann.locator("#file").set_input_files({"name": "점심.png", "mimeType": "image/png", "buffer": PNG})
    await expect(ann.locator("#attached")).to_contain_text("점심.png")
    await ann.locator("#text").fill("lunch")
    await ann.locator("#send").click()
    await expect(ann.locator("#attached")).not_to_be_visible()
    for tab in (ann, bob):
        await until_texts(tab, ["lunch"])
        picture = tab.get_by_role("img", name="점심.png")
        await expect(picture).to_have_count(1)
        await until(tab, "document.querySelector('#log img').naturalWidth === 1")
    href = await bob.locator("#log a.picture").get_attribute("href")
    assert href is not None
    async with httpx.AsyncClient() as client:
        assert (await client.get(href)).content == PNG
    await say(ann, "after it")
    await until_texts(bob, ["lunch", "after it"])
    await ann.reload()
    await live(ann)
    await expect(ann.get_by_role("img", name="점심.png")).to_have_count(1)


async def test_files_that_cannot_be_sent_say_why(with_bucket: Any, tabs: Tabs) -> None:
    service = with_bucket
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    problem = ann.locator("#problem")
    await ann.locator("#file").set_input_files({"name": "a.html", "mimeType": "text/html", "buffer": b"<b>"})
    await expect(problem).to_contain_text("cannot be sent (text/html)")
    await ann.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"x" * 6000})
    await expect(problem).to_contain_text("larger than 5 kB")
    await ann.route("**/uploads-of-pages*", lambda route: route.abort())
    await ann.locator("#text").fill("stays here")
    await ann.locator("#file").set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": PNG})
    await expect(problem).to_contain_text("b.png was not uploaded")
    await expect(ann.locator("#text")).to_have_value("stays here")
    assert await texts(ann) == []


async def test_without_a_bucket_the_page_says_so(service: Any, tabs: Tabs) -> None:
    await service.room()
    ann = await tabs.open(service.url, "ann", "#main")
    button = ann.get_by_role("button", name="Attach a file")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await button.click(force=True)  # it can be pressed, to hear why not
    await expect(ann.locator("#problem")).to_contain_text("SSE_UPLOADS_BUCKET")
