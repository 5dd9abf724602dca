"""The page's stream: cut, refused, dead without a word, and in any cut of its bytes (MG18).
until phase 3
"""

from __future__ import annotations

import time

import pytest
from browser_support import until
from playwright.async_api import Page, expect

from .samples import compared
from .server import Dashboard
from .support import headline, picture, show

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


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
    await picture(page, "dashboard-away.png")
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
          const { EventParser } = await import('/static/event-parser.js')
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
