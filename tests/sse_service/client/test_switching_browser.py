"""SwitchingWebSocket in a real Chromium: two tabs chat while the flag goes up and down (MG9)."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Page
from switching_world import SECRET, TENANT, World

from sse_service.testing import make_token

from ..browser_support import chromium

pytestmark = [pytest.mark.integration, pytest.mark.browser]

WAIT_MS = 30_000

CONNECT = """async ([urls, name, token]) => {
  const { SwitchingWebSocket } = await import('/dist/sse-websocket.js')
  Object.assign(window, { heard: [], ends: [], said: 0 })
  const [websocket, sse] = [urls.ws, urls.sse].map(url => `${url}?token=${token}`)
  window.socket = new SwitchingWebSocket({ websocket, sse }, [],
    { feature: 'chat', settleMs: 200, patienceMs: 500, spreadMs: 50 })
  socket.onmessage = event => heard.push(JSON.parse(event.data))
  socket.onclose = socket.onerror = event => ends.push(event.type)
  await new Promise(resolve => (socket.onopen = resolve))
  window.say = () => socket.send(JSON.stringify({ action: 'say', n: ++said }))
  window.talk = () => (window.talking = setInterval(say, 60))
}"""


async def test_two_tabs_chat_while_they_are_moved_over_and_back() -> None:
    world = World()
    urls = await world.start()
    try:
        async with chromium() as browser:
            context = await browser.new_context()
            tabs: dict[str, Page] = {}
            for name in ("ann", "bob"):
                tabs[name] = await context.new_page()
                await tabs[name].goto(f"{urls['control']}/page")
                token = make_token(SECRET, name, TENANT, expires_at=time.time() + 600)
                await tabs[name].evaluate(CONNECT, [urls, name, token])
            for tab in tabs.values():
                await tab.evaluate("void talk()")
            for percent, kind in ((100, "sse"), (0, "websocket"), (100, "sse")):
                await context.request.post(f"{urls['control']}/flag", data={"percent": percent})
                for tab in tabs.values():
                    await tab.wait_for_function(f"socket.transport === '{kind}' || ends.length", timeout=WAIT_MS)
            said = {}
            for name, tab in tabs.items():
                said[name] = await tab.evaluate("(clearInterval(talking), said)")
            total = sum(said.values())
            for tab in tabs.values():
                await tab.wait_for_function(f"heard.length >= {total} || ends.length", timeout=WAIT_MS)
                heard = await tab.evaluate("heard")
                for name, count in said.items():
                    assert [frame["n"] for frame in heard if frame["from"] == name] == list(range(1, count + 1))
                assert await tab.evaluate("ends") == []
            for name, count in said.items():
                assert [n for user, n, _ in world.room.heard if user == name] == list(range(1, count + 1))
    finally:
        await world.stop()
