"""The drop-in client in a real Chromium, against the server with faults (MG5; SQ8's two tabs)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fake_server import FakeServer
from playwright.async_api import Browser, BrowserContext, Page

from ..browser_support import chromium

pytestmark = [pytest.mark.integration, pytest.mark.browser]

WAIT_MS = 30_000

CONNECT = """async ([url, name]) => {
  const { SseWebSocket } = await import('/dist/sse-websocket.js')
  window.SseWebSocket = SseWebSocket
  window.trouble = []
  addEventListener('unhandledrejection', event => trouble.push(String(event.reason)))
  window.texts = []
  window.ends = []
  window.socket = new SseWebSocket(url, [], { backoff: { baseMs: 20, capMs: 200 } })
  socket.onmessage = event => texts.push(event.data)
  socket.onclose = event => ends.push([event.code, event.reason, event.wasClean])
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = e => reject(Error(e.message)) })
  socket.onerror = event => ends.push(event.message)
  window.say = (from, to) => { for (let n = from; n < to; n++) socket.send(`${name} ${n}`) }
}"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.fixture
async def context(browser: Browser) -> BrowserContext:
    return await browser.new_context()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    servers: list[FakeServer] = []

    async def start(**faults: Any) -> FakeServer:
        server = FakeServer(**faults)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


async def tab(context: BrowserContext, server: FakeServer, name: str, api: str = "room", at: str = "") -> Page:
    page = await context.new_page()
    await page.goto(f"{at or server.url}/page")
    await page.evaluate(CONNECT, [f"{server.url.replace('http', 'ws')}/ws/{api}?token=secret", name])
    return page


async def test_two_tabs_lose_nothing_while_everything_fails(context: BrowserContext, serve: Any) -> None:
    """Every fifth answer dropped, streams cut, the network gone and back, the server restarted: all arrives, once,
    in the same order in both tabs, and no application event tells of it."""
    server = await serve(drop_every=5, cut_every=40)
    tabs = {name: await tab(context, server, name) for name in ("ann", "bob")}

    async def say(start: int, stop: int) -> None:
        for at in range(start, stop, 4):
            for page in tabs.values():
                await page.evaluate("([from, to]) => say(from, to)", [at, at + 4])

    await say(0, 40)
    await context.set_offline(True)
    await say(40, 60)
    assert await tabs["ann"].evaluate("socket.bufferedAmount") > 0
    await context.set_offline(False)
    await say(60, 80)
    await server.restart(down_s=0.3)
    await say(80, 120)
    for page in tabs.values():
        await page.wait_for_function("texts.length >= 240 || ends.length", timeout=WAIT_MS)
    seen = {name: await page.evaluate("texts") for name, page in tabs.items()}
    assert seen["ann"] == seen["bob"]
    for name in tabs:
        assert [text for text in seen["ann"] if text.startswith(name)] == [f"{name} {n}" for n in range(120)]
    for page in tabs.values():
        await page.wait_for_function("socket.bufferedAmount === 0", timeout=WAIT_MS)
        assert await page.evaluate("[ends, trouble, socket.readyState]") == [[], [], 1]
    assert server.counts["opens"] == 2
    assert server.counts["dropped"] > 3
    assert not any("secret" in url for url in server.urls)


async def test_the_applications_own_reconnect_runs_when_the_window_is_lost(context: BrowserContext, serve: Any) -> None:
    server = await serve()
    page = await tab(context, server, "ann")
    await server.restart(lose=True)
    await page.wait_for_function("ends.length === 2", timeout=WAIT_MS)
    assert await page.evaluate("ends[1]") == [1006, "", False]
    assert await page.evaluate("trouble") == []
    await page.evaluate(CONNECT, [f"{server.url}/ws/room", "ann"])
    await page.evaluate("say(0, 1)")
    await page.wait_for_function("texts.length === 1", timeout=WAIT_MS)


async def test_a_hidden_tab_keeps_receiving(context: BrowserContext, serve: Any) -> None:
    server = await serve(heartbeat_ms=100)
    page = await tab(context, server, "ann")
    await page.evaluate(
        """() => { Object.defineProperty(document, 'visibilityState', { value: 'hidden' })
                   Object.defineProperty(document, 'hidden', { value: true })
                   document.dispatchEvent(new Event('visibilitychange')) }"""
    )
    server.push("for a hidden tab")
    await page.wait_for_function("texts.length === 1", timeout=WAIT_MS)
    assert server.counts["streams"] == 1


@pytest.mark.parametrize("how", ["leave", "close"])
async def test_a_page_that_goes_away_says_so_and_what_it_still_had_to_say(
    context: BrowserContext, serve: Any, how: str
) -> None:
    """The connection does not linger for the resume window, and a message sent while leaving arrives."""
    server = await serve()
    page = await tab(context, server, "ann")
    await page.evaluate("say(0, 2)")
    await page.wait_for_function("texts.length === 2", timeout=WAIT_MS)
    await page.evaluate("addEventListener('pagehide', () => socket.send('bye'), {capture: true})")
    if how == "leave":
        await page.goto("about:blank")
    else:
        await page.close()
    async with asyncio.timeout(WAIT_MS / 1000):
        while not server.closes:
            await asyncio.sleep(0.01)
    assert [(end["code"], end["by"]) for end in server.closes] == [(1001, "beacon")]
    assert server.all[0].received == ["ann 0", "ann 1", "bye"]


async def test_a_page_of_another_origin(context: BrowserContext, serve: Any) -> None:
    """CORS: preflights for Authorization and Last-Event-ID, no cookies."""
    server, site = await serve(cut_every=3), await serve()
    page = await tab(context, server, "ann", "echo", at=site.url)
    await page.evaluate("say(0, 20)")
    await page.wait_for_function("texts.length === 20", timeout=WAIT_MS)
    await page.evaluate("socket.close(3000, 'enough')")
    await page.wait_for_function("ends.length === 1", timeout=WAIT_MS)
    assert await page.evaluate("ends") == [[3000, "enough", True]]


async def test_binary_and_text_as_sent(context: BrowserContext, serve: Any) -> None:
    server = await serve()
    page = await tab(context, server, "ann", "echo")
    seen = await page.evaluate(
        """async () => {
          const texts = ['a\\rb\\nc\\0d', '\\ud800', '😀', '']
          for (const text of texts) socket.send(text)
          socket.send(new Blob([new Uint8Array([0, 255])]))
          socket.binaryType = 'arraybuffer'
          socket.send(new Uint8Array([1, 2]).buffer)
          while (window.texts.length < 6) await new Promise(resolve => setTimeout(resolve, 5))
          return window.texts.map(data => typeof data === 'string' ? data : [...new Uint8Array(data)])
        }"""
    )
    assert seen == ["a\rb\nc\0d", "\ufffd", "😀", "", [0, 255], [1, 2]]


async def test_it_judges_its_arguments_as_the_browsers_own_class_does(context: BrowserContext, serve: Any) -> None:
    """The same calls to both classes: the same exceptions, the same values."""
    server = await serve(open_delay_s=60)
    page = await context.new_page()
    await page.goto(f"{server.url}/page")
    differences, count = await page.evaluate(
        """async base => {
          const { SseWebSocket } = await import('/dist/sse-websocket.js')
          const ws = base.replace('http', 'ws')
          const calls = {
            none: C => new C(),
            call: C => C(ws),
            fragment: C => new C(ws + '/#'),
            scheme: C => new C('ftp://example.com'),
            relative: C => new C('/relative?x').url,
            http: C => new C(base + '/a?b').url,
            space: C => new C(ws + '/a b').url,
            bad: C => new C('ws://'),
            number: C => new C(5).url,
            port: C => new C('ws://127.0.0.1:70000'),
            empty: C => new C(ws, ''),
            comma: C => new C(ws, 'a,b'),
            twice: C => new C(ws, ['a', 'a']),
            cases: C => new C(ws, ['a', 'A']).protocol,
            nulls: C => new C(ws, null).protocol,
            object: C => new C(ws, {}),
            send: C => new C(ws).send(''),
            sendNothing: C => new C(ws).send(),
            binaryType: C => { const s = new C(ws); s.binaryType = 'x'; return s.binaryType },
            binaryType2: C => { const s = new C(ws); s.binaryType = 'arraybuffer'; return s.binaryType },
            constant: C => { 'use strict'; C.OPEN = 5; return C.OPEN },
            constants: C => [C.CONNECTING, C.OPEN, C.CLOSING, C.CLOSED, C.prototype.OPEN],
            tag: C => String(new C(ws)),
            initial: C => { const s = new C(ws); return [s.readyState, s.bufferedAmount, s.extensions, s.onopen] },
            closing: C => { const s = new C(ws); s.close(); s.close(); return s.readyState },
            handler: C => { const s = new C(ws); s.onopen = 5; return s.onopen },
            keys: C => {
              const names = []
              for (const name in new C(ws)) names.push(name)
              return names.sort()
            },
          }
          const codes = [0, 1, 999, 1000, 1001, 1005, 2999, 3000, 4999, 5000, 70000, -1, NaN, 2999.4, 4999.4, '3000']
          for (const code of codes) calls['close ' + code] = C => new C(ws).close(code)
          const long = (text, times) => text.repeat(times)
          const lone = '\\ud800'
          const reasons = ['', long('x', 123), long('x', 124), long('é', 62), long(lone, 41), long(lone, 42), 5, null]
          for (const reason of reasons)
            calls['reason ' + String(reason).slice(0, 3) + String(reason).length] = C => new C(ws).close(1000, reason)
          const result = (call, C) => {
            try {
              return JSON.stringify(call(C)) ?? 'undefined'
            } catch (error) {
              return error.name
            }
          }
          const both = call => [result(call, WebSocket), result(call, SseWebSocket)]
          const all = Object.entries(calls).map(([name, call]) => [name, ...both(call)])
          return [all.filter(([, native, ours]) => native !== ours), all.length]
        }""",
        server.url,
    )
    assert differences == []
    assert count > 45
