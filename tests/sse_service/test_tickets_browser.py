"""The browser's own EventSource against the service: ticket, cookie, and reconnects that nobody has to program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page

from sse_service.settings import Settings

from .browser_support import chromium

pytestmark = [pytest.mark.integration, pytest.mark.browser]

WAIT_MS = 20_000

OPEN = """([token]) => fetch('/api/streams/tickets', {method: 'POST', headers: {authorization: `Bearer ${token}`}})
  .then(answer => answer.json())
  .then(({ticket}) => new Promise(resolve => {
    window.seen = []
    window.source = new EventSource(`/api/chat/stream?ticket=${ticket}`)
    const note = event => { seen.push([event.type, JSON.parse(event.data)]); resolve(source.url) }
    for (const type of ['ready', 'message', 'rotate', 'farewell']) source.addEventListener(type, note)
  }))"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as running:
        context = await running.new_context()
        yield await context.new_page()


async def test_an_event_source_reconnects_by_itself_with_its_used_ticket(
    start_service: Any, settings: Settings, bearer: Any, page: Page
) -> None:
    """Rotations end the stream again and again; the same URL and the cookie bring it back, and nothing is lost."""
    service = await start_service(settings.replace(max_age_s=0.6, heartbeat_s=0.3, retry_ms=50))
    await service.room()
    await page.goto(f"{service.url}/healthz")
    token = bearer("ann")["authorization"].removeprefix("Bearer ")
    await page.evaluate(OPEN, [token])
    for n in range(1, 4):
        await service.say("bob", str(n))
        await page.wait_for_function(f"seen.filter(([type]) => type === 'ready').length > {n}", timeout=WAIT_MS)
    await page.wait_for_function("seen.filter(([type]) => type === 'message').length >= 3", timeout=WAIT_MS)
    seen = await page.evaluate("seen")
    assert [data["message"] for kind, data in seen if kind == "message"] == ["1", "2", "3"]
    readies = [data for kind, data in seen if kind == "ready"]
    assert [ready["recovered"] for ready in readies] == [False] + [True] * (len(readies) - 1)
    assert await page.evaluate("document.cookie") == ""  # scripts cannot read it
    assert await page.evaluate("source.readyState") != 2


async def test_an_event_source_survives_a_limit_and_two_tabs_share_the_cookie(
    start_service: Any, settings: Settings, bearer: Any, page: Page
) -> None:
    """Where no more streams are allowed it is told to come back, and does; the other tab stays connected."""
    service = await start_service(settings.replace(max_streams_per_user=1, retry_ms=50))
    await service.room()
    token = bearer("ann")["authorization"].removeprefix("Bearer ")
    service.hub.limits.retry_after_s = 1
    other = await page.context.new_page()
    for tab in (page, other):
        await tab.goto(f"{service.url}/healthz")
        await tab.evaluate(OPEN, [token])
    assert (await other.evaluate("seen"))[0] == ["farewell", {"reason": "too_many_streams", "retryMs": 1000}]
    assert await other.evaluate("source.readyState") != 2
    await page.evaluate("source.close()")
    await other.wait_for_function("seen.some(([type]) => type === 'ready')", timeout=WAIT_MS)
    await service.say("bob", "hi")
    await other.wait_for_function("seen.some(([type]) => type === 'message')", timeout=WAIT_MS)
