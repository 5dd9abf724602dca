"""A peer: sse-starlette as its documentation shows it, a queue per connection. PORT says where it listens."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request, Response
from sse_starlette import EventSourceResponse

app = FastAPI()
queues: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)


@app.get("/sub/{channel}")
async def subscribe(channel: str) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        queues[channel].add(queue)
        try:
            while True:
                yield {"data": await queue.get()}
        finally:
            queues[channel].discard(queue)

    return EventSourceResponse(events())


@app.post("/pub/{channel}")
async def publish(channel: str, request: Request) -> Response:
    text = (await request.body()).decode()
    for queue in queues[channel]:
        queue.put_nowait(text)
    return Response(status_code=204)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, backlog=4096)
