"""Which addresses are this stack's. Pure. until phase 3

Address of an API: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api.html
(`wss://{api-id}.execute-api.{region}.amazonaws.com/{stage}`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from migrate.scan.model import Target

__all__ = ["HOLE", "StackIdentity", "hole", "shown"]

# What could not be traced, inside an address: start, name, end.
HOLE = re.compile("\ue000([^\ue001]*)\ue001")
_ADDRESS = re.compile(r"^\s*(?:wss?|https?)://(?:[^/?#@]*@)?([^/?#:]*)", re.IGNORECASE)
_EXECUTE_API = re.compile(r"^([^.]+)\.execute-api\.[^.]+\.amazonaws\.com(?:\.cn)?$")
_LOCAL = re.compile(r"^(?:localhost|127\.[\d.]+|0\.0\.0\.0|\[?::1\]?|host\.docker\.internal|.*\.local(?:host)?)$")
# Public services that no stack of ours can be.
_ELSEWHERE = (
    "*.ably.io", "*.ably.net", "*.alpaca.markets", "*.appsync-realtime-api.*.amazonaws.com", "*.assemblyai.com",
    "*.binance.com", "*.binance.us", "*.bitfinex.com", "*.bitmex.com", "*.bybit.com", "*.coinbase.com",
    "*.deepgram.com", "*.deribit.com", "*.discord.gg", "*.elevenlabs.io", "*.firebaseio.com", "*.gemini.com",
    "*.finnhub.io", "*.infura.io", "*.iot.*.amazonaws.com", "*.kraken.com", "*.okx.com", "*.pubnub.com",
    "*.pusher.com", "*.pusherapp.com", "*.slack.com", "*.supabase.co", "*.transcribestreaming.*.amazonaws.com",
    "*.twilio.com", "*.twitch.tv", "api.openai.com", "echo.websocket.events", "echo.websocket.org", "ws.finnhub.io",
    "ws.postman-echo.com",
)  # fmt: skip


def hole(name: str) -> str:
    """A part of an address that is not known."""
    return f"\ue000{name}\ue001"


def shown(url: str) -> str:
    """An address for people: `${name}` for what is not known."""
    return HOLE.sub(r"${\1}", url)


@dataclass(frozen=True, slots=True)
class StackIdentity:
    """What is known about the stack that is to be left.

    Attributes:
        api_ids: ids of its APIs. Without any, every execute-api address counts as this stack's.
        hosts: patterns (`*.example.com`) of its own domains. With any, every other literal host is another service's.
        env_names: patterns of environment variables that hold its address.
    """

    api_ids: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    env_names: tuple[str, ...] = ()

    def judge(self, urls: tuple[str, ...] | list[str]) -> Target:
        """One verdict over all addresses an expression can have: this wins, then another API; other only if all are."""
        verdicts = {self._judge(url) for url in urls}
        if Target.THIS in verdicts:
            return Target.THIS
        if Target.ANOTHER_API in verdicts:
            return Target.ANOTHER_API
        return Target.OTHER if verdicts == {Target.OTHER} else Target.UNKNOWN

    def _judge(self, url: str) -> Target:
        for name in HOLE.findall(url):
            plain = name.removeprefix("env:")
            if plain != name and any(fnmatchcase(plain, pattern) for pattern in self.env_names):
                return Target.THIS
        match = _ADDRESS.match(url)
        if match is None:
            return Target.UNKNOWN
        raw = match.group(1)
        if not HOLE.sub("", raw).strip(".-"):
            return Target.UNKNOWN
        open_id = HOLE.match(raw) is not None
        host = HOLE.sub("x", raw).lower().rstrip(".")
        if any(fnmatchcase(host, pattern.lower()) for pattern in self.hosts):
            return Target.THIS
        api = _EXECUTE_API.match(host)
        if api:
            if not self.api_ids or (not open_id and api.group(1) in self.api_ids):
                return Target.THIS
            return Target.UNKNOWN if open_id else Target.ANOTHER_API
        if _LOCAL.match(host):
            return Target.UNKNOWN
        if any(fnmatchcase(host, pattern) for pattern in _ELSEWHERE):
            return Target.OTHER
        return Target.OTHER if self.hosts and "." in host else Target.UNKNOWN
