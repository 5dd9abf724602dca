"""docs/examples: native EventSource and fetch, each against `sse-service serve` (issue 5, simple recipes)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from client_support import CLIENT, node
from playwright.async_api import Page, Route
from service_support import SECRET, WAIT_S, Service, serve

from sse_service.testing import make_token

from ..browser_support import chromium

pytestmark = [pytest.mark.integration, pytest.mark.browser]

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

READ = """
import { follow } from "EXAMPLES/fetch-stream.mjs"
import { createParser } from "DIST"
const [url, token] = process.argv.slice(2)
const given = ["expired", token]
const cut = async (input, init) => {
  const response = await fetch(input, init)
  let left = 3
  const cutting = new TransformStream({ transform: (chunk, controller) => {
    controller.enqueue(chunk)
    if (--left <= 0) controller.error(new TypeError("cut"))
  } })
  return new Response(response.body?.pipeThrough(cutting), { status: response.status, headers: response.headers })
}
const abort = new AbortController()
const ask = () => (given.length > 1 ? given.shift() : token)
const options = { token: ask, createParser, signal: abort.signal, fetch: cut }
for await (const { type, data } of follow(url, options)) {
  if (type !== "message") continue
  console.log(data.message)
  if (data.message === "last") abort.abort()
}
console.log("ended")
"""


def token(user: str, **claims: object) -> str:
    return make_token(SECRET, user, "demo", expires_at=time.time() + 3600, **claims)


class Room:
    """Says things in a room of the service."""

    def __init__(self, service: Service) -> None:
        self.client = httpx.AsyncClient(base_url=service.url, headers={"authorization": f"Bearer {token('bob')}"})

    async def __aenter__(self) -> Room:
        answer = await self.client.post("/api/conversations", json={"conversationId": "main", "open": True})
        assert answer.is_success, answer.text
        # Whoever follows a stream hears the conversations it takes part in.
        await self.client.post("/api/conversations/participants", json={"conversationId": "main", "add": ["ann"]})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def say(self, *texts: str) -> None:
        for text in texts:
            answer = await self.client.post("/api/chat/send", json={"conversationId": "main", "message": text})
            assert answer.is_success, answer.text


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as running:
        yield await running.new_page()


async def test_native_event_source(tmp_path: Path, page: Page) -> None:
    """Ticket and cookie; the stream rotates all the time, and nothing is missing or there twice."""
    async with serve(tmp_path, SSE_MAX_STREAM_AGE_S="1", SSE_HEARTBEAT_S="0.5") as service, Room(service) as room:

        async def example(route: Route) -> None:
            await route.fulfill(path=EXAMPLES / "native-eventsource.mjs", content_type="text/javascript")

        await page.route("**/example.mjs", example)
        await page.goto(f"{service.url}/healthz")
        await page.evaluate(
            """async token => {
              const { follow } = await import('/example.mjs')
              window.seen = []
              window.urls = () => performance.getEntriesByType('resource').map(entry => entry.name)
              const onEvent = (type, data) => seen.push(data.message)
              window.stop = follow('/api/chat/stream?conversationId=main', { token: () => token, onEvent })
            }""",
            token("ann"),
        )
        texts = [f"message {n}" for n in range(8)]
        for at, text in enumerate(texts):
            if at % 4 == 0:
                # The browser lists a request when it has ended: another stream has rotated.
                ended = f"urls().filter(url => url.includes('ticket=')).length > {at // 4}"
                await page.wait_for_function(ended, timeout=WAIT_S * 1000)
            await room.say(text)
        await page.wait_for_function("seen.length >= 8", timeout=WAIT_S * 1000)
        assert await page.evaluate("seen") == texts
        assert token("ann")[:20] not in json.dumps(await page.evaluate("urls()"))
        await page.evaluate("stop()")


async def test_fetch_with_a_header(tmp_path: Path) -> None:
    """A refused token is asked for again; each stream is cut after three chunks, and resumed without a loss."""
    script = tmp_path / "read.mjs"
    # The parser as the drop-in carries it; an application takes it from npm.
    parser = tmp_path / "parser.mjs"
    bundle = (CLIENT / "dist" / "sse-websocket.js").read_text()
    parser.write_text(bundle[: bundle.rindex("export {")] + "export { createParser }\n")
    script.write_text(READ.replace("EXAMPLES", EXAMPLES.as_uri()).replace("DIST", parser.as_uri()))
    async with serve(tmp_path) as service, Room(service) as room:
        url = f"{service.url}/api/chat/stream?conversationId=main"
        process = await asyncio.create_subprocess_exec(
            *(node(), str(script), url, token("ann")), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        seen: list[str] = []
        async with asyncio.timeout(WAIT_S):
            async with httpx.AsyncClient() as client:
                while "sse_open_streams 1" not in (await client.get(f"{service.url}/metrics")).text:
                    await asyncio.sleep(0.02)
            for text in [*(str(n) for n in range(12)), "last"]:
                await room.say(text)
                seen.append((await process.stdout.readline()).decode().strip())
            assert (await process.stdout.readline()).strip() == b"ended"
            assert await process.wait() == 0
    assert seen == [*(str(n) for n in range(12)), "last"]
