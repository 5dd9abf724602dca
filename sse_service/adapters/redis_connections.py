"""Virtual connections in Redis or Valkey, shared by instances.

`{prefix}:vc:{id}`          hash: v (version), s (the session, JSON), first (number of the oldest event), e (the entry)
`{prefix}:vc:{id}:frames`   list: the events of the window, as bytes for the stream
`{prefix}:vc:due`           sorted set: connections by deadline
`{prefix}:vc:wake:{inst}`   channel: ids of connections whose stream on that instance has something to do

A step runs here, on the session as it was last seen; one script commits it if nobody else was first, and otherwise
gives back what is there now, on which the step runs again. So the rules are in session.py and nowhere else, and a post
costs one round trip. A commit has a name (t), so that repeating one whose answer was lost does nothing. What a script
touches is in several slots: a Redis Cluster will not do (docs/decisions/0007).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from sse_service.adapters.tasks import end
from sse_service.brokers.backoff import Backoff
from sse_service.connections.events import ConnectionFacts
from sse_service.errors import StartupError, UnavailableError
from sse_service.virtual.errors import GoneError
from sse_service.virtual.session import Session, SessionLimits
from sse_service.virtual.store import Entry, Page

__all__ = ["RedisConnections"]

logger = logging.getLogger("sse_service.redis")

T = TypeVar("T")

AWAY = (RedisError, OSError, TimeoutError)
SILENCE_S = 10.0
KNOWN = 50_000
"""Sessions remembered as they were last seen; one that is not costs a round trip more."""
SPARE_S = 86_400
"""How long beyond its lifetime a connection is kept for somebody to run its `$disconnect`, should all be down."""

_COMMIT = """
local now = redis.call('HMGET', KEYS[1], 'v', 's', 't')
if not now[1] then return false end
if now[3] == ARGV[9] then return {now[1]} end
if now[1] ~= ARGV[1] then return {now[1], now[2]} end
local version = redis.call('HINCRBY', KEYS[1], 'v', 1)
redis.call('HSET', KEYS[1], 's', ARGV[2], 'first', ARGV[3], 't', ARGV[9])
local dropped = tonumber(ARGV[4])
if dropped > 0 then redis.call('LTRIM', KEYS[2], dropped, -1) end
for i = 10, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[6])
if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[7], ARGV[6]) end
return {tostring(version)}
"""
_READ = """
local now = redis.call('HMGET', KEYS[1], 'v', 's', 'first')
if not now[1] then return false end
local begin = math.max(0, tonumber(ARGV[1]) + 1 - tonumber(now[3]))
return {now[1], now[2], redis.call('LRANGE', KEYS[2], begin, begin + tonumber(ARGV[2]) - 1)}
"""


class _Known:
    """What was last seen of a connection. lock: steps of this instance do not compete with each other."""

    __slots__ = ("entry", "lock", "session", "version")

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.session: Session | None = None
        self.version = b""
        self.lock = asyncio.Lock()


class RedisConnections:
    is_shared = True

    def __init__(self, url: str, prefix: str, limits: SessionLimits, *, instance: str) -> None:
        self._url = url
        self._prefix = f"{prefix}:vc"
        self._limits = limits
        self._instance = instance
        self._expire_s = int(limits.lifetime_s + SPARE_S)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._woken: Callable[[str | None], None] = lambda _: None
        self._redis: Any = None
        self._commit: Any = None
        self._read: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return 0  # it is not this process that keeps them

    async def own(self) -> list[str]:
        return []

    async def start(self, woken: Callable[[str | None], None]) -> None:
        """Raises StartupError for a URL that cannot be used, or a server that does not answer."""
        self._woken = woken
        try:
            self._redis = Redis.from_url(
                self._url,
                protocol=2,
                socket_connect_timeout=3,
                socket_timeout=5,
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
                retry_on_error=[ConnectionResetError],
            )
            await self._redis.ping()
        except (ValueError, TypeError):
            # The text of the error may quote the URL, and that a password.
            raise StartupError("SSE_REDIS_URL cannot be used", "redis://[user:password@]host:port/db") from None
        except AWAY as error:
            raise StartupError(f"Redis does not answer: {type(error).__name__}", "check SSE_REDIS_URL") from None
        self._commit = self._redis.register_script(_COMMIT)
        self._read = self._redis.register_script(_READ)
        self._tasks = [asyncio.create_task(self._listen_for_ever())]

    async def close(self) -> None:
        await end(self._tasks)
        self._tasks = []
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    # ----------------------------------------------------------------------------------------------------

    async def create(self, entry: Entry, session: Session) -> None:
        connection_id = entry.facts.connection_id
        key = self._key(connection_id)
        pipe = self._ready().pipeline(transaction=True)
        pipe.hset(key, mapping={"v": 1, "s": session.to_json(), "first": session.first, "e": _entry_text(entry)})
        pipe.expire(key, self._expire_s)
        pipe.zadd(f"{self._prefix}:due", {connection_id: session.deadline(self._limits)})
        await _asked(pipe.execute())
        known = self._seen(connection_id)
        known.entry, known.session, known.version = entry, session, b"1"

    async def entry(self, connection_id: str) -> Entry:
        known = self._seen(connection_id)
        if known.entry is None:
            raw = await _asked(self._ready().hget(self._key(connection_id), "e"))
            if raw is None:
                raise self._forgotten(connection_id)
            known.entry = _entry_of(raw)
        return known.entry

    async def session(self, connection_id: str) -> Session:
        found = await _asked(self._ready().hmget(self._key(connection_id), "v", "s"))
        return self._remember(connection_id, found)

    async def change(self, connection_id: str, step: Callable[[Session], T]) -> T:
        known = self._seen(connection_id)
        async with known.lock:
            if known.session is None:
                await self.session(connection_id)
            while True:
                assert known.session is not None  # noqa: S101 - read above, or given back by the script
                session = known.session.copy()
                was_current = known.version
                try:
                    result = step(session)
                except Exception:
                    # It may have judged by what is no longer so.
                    await self.session(connection_id)
                    if known.version == was_current:
                        raise
                    continue
                if await self._committed(connection_id, known, session):
                    return result

    async def _committed(self, connection_id: str, known: _Known, session: Session) -> bool:
        effects = session.effects
        is_elsewhere = bool(effects.wake) and effects.wake != self._instance
        channel = f"{self._prefix}:wake:{effects.wake}" if is_elsewhere else ""
        key = self._key(connection_id)
        answer = await _asked(
            self._commit(
                keys=[key, f"{key}:frames", f"{self._prefix}:due"],
                args=[
                    known.version,
                    session.to_json(),
                    session.first,
                    effects.dropped,
                    session.deadline(self._limits),
                    connection_id,
                    channel,
                    self._expire_s,
                    os.urandom(8).hex(),
                    *effects.frames,
                ],
            )
        )
        if answer is not None and len(answer) == 1:
            known.session, known.version = session, answer[0]
            if effects.wake == self._instance:
                self._woken(connection_id)
            return True
        self._remember(connection_id, answer)
        return False

    async def read(self, connection_id: str, after: int, count: int) -> Page:
        key = self._key(connection_id)
        answer = await _asked(self._read(keys=[key, f"{key}:frames"], args=[after, count]))
        session = self._remember(connection_id, answer)
        return Page(answer[2], session)

    async def due(self, now_s: float, count: int) -> list[str]:
        # Several instances find the same ones; the first to commit a sweep has it.
        found = await _asked(self._ready().zrangebyscore(f"{self._prefix}:due", 0, now_s, start=0, num=count))
        return [raw.decode() for raw in found]

    async def forget(self, connection_id: str) -> None:
        key = self._key(connection_id)
        pipe = self._ready().pipeline(transaction=True)
        pipe.delete(key, f"{key}:frames")
        pipe.zrem(f"{self._prefix}:due", connection_id)
        await _asked(pipe.execute())
        self._known.pop(connection_id, None)

    # ----------------------------------------------------------------------------------------------------

    def _key(self, connection_id: str) -> str:
        return f"{self._prefix}:{connection_id}"

    def _ready(self) -> Any:
        if self._redis is None:
            raise UnavailableError("the store is not connected")
        return self._redis

    def _seen(self, connection_id: str) -> _Known:
        known = self._known.get(connection_id)
        if known is None:
            known = self._known[connection_id] = _Known()
            while len(self._known) > KNOWN:
                name, oldest = next(iter(self._known.items()))
                if oldest.lock.locked():
                    break
                del self._known[name]
        else:
            self._known.move_to_end(connection_id)
        return known

    def _remember(self, connection_id: str, found: Any) -> Session:
        """A session as the server has it. Raises GoneError when it has none."""
        if not found or found[0] is None:
            raise self._forgotten(connection_id)
        known = self._seen(connection_id)
        if found[0] != known.version or known.session is None:
            # An answer may be older than what has been committed since it was asked for.
            if known.session is not None and int(found[0]) < int(known.version):
                return Session.from_json(found[1])
            known.version, known.session = found[0], Session.from_json(found[1])
        return known.session

    def _forgotten(self, connection_id: str) -> GoneError:
        self._known.pop(connection_id, None)
        return GoneError()

    # ----------------------------------------------------------------------------------------------------

    async def _listen_for_ever(self) -> None:
        backoff = Backoff(random.Random())  # noqa: S311 - jitter
        while True:
            try:
                await self._listen(backoff)
            except AWAY as error:
                logger.warning("virtual connections hear nothing of other instances: %s", type(error).__name__)
            except Exception:
                logger.exception("listening to Redis failed")
            await asyncio.sleep(backoff.next_s())

    async def _listen(self, backoff: Backoff) -> None:
        pubsub = self._ready().pubsub()
        try:
            await pubsub.subscribe(f"{self._prefix}:wake:{self._instance}")
            was_asked = False
            while True:
                message = await pubsub.get_message(timeout=SILENCE_S)
                if message is None:
                    if was_asked:
                        raise TimeoutError("no answer to PING")
                    was_asked = True
                    await pubsub.ping()
                    continue
                was_asked = False
                if message["type"] == "message":
                    self._woken(message["data"].decode())
                elif message["type"] == "subscribe":
                    backoff.reset()
                    self._woken(None)  # whatever was said before was said to nobody
        finally:
            await pubsub.aclose()


async def _asked(call: Awaitable[Any]) -> Any:
    """Raises UnavailableError when the server does not answer."""
    try:
        return await call
    except AWAY as error:
        logger.warning("Redis: %s", type(error).__name__)
        raise UnavailableError("the store is out of reach") from error


def _entry_text(entry: Entry) -> str:
    facts = {name: _plain(value) for name, value in asdict(entry.facts).items()}
    return json.dumps({"facts": facts, "secret": base64.b64encode(entry.secret_hash).decode()})


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _entry_of(raw: bytes) -> Entry:
    values = json.loads(raw)
    return Entry(ConnectionFacts(**values["facts"]), base64.b64decode(values["secret"]))
