"""legacy_ws.auth.jwks and https (WL4): keys are cached, looked up again with moderation, and fetched with care.
until phase 3
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from auth_support import jwk, jwks, private_key, public_key, rs256_token

from legacy_ws.apps import authorize
from legacy_ws.auth import https
from legacy_ws.auth.jwks import MAX_AGE_S, REFETCH_S, KeySet, read_keys
from legacy_ws.errors import IdentityProviderError, TokenRefusedError

URL = "https://idp.example.org/jwks.json"
FIRST, SECOND = private_key("first"), private_key("second")


class Provider:
    """An identity provider, its keys and a clock."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.document: bytes | None = jwks(*keys)
        self.fetches = 0
        self.now = 1000.0
        self.records: list[dict[str, Any]] = []
        self.keys = KeySet(URL, fetch=self._fetch, clock=lambda: self.now, log=self._log)

    def _fetch(self, url: str) -> bytes:
        assert url == URL
        self.fetches += 1
        if self.document is None:
            raise IdentityProviderError("the JWKS", "TimeoutError")
        return self.document

    def _log(self, level: str, event: str, **fields: object) -> None:
        self.records.append({"level": level, "event": event, **fields})


def test_keys_are_fetched_once() -> None:
    provider = Provider(jwk(FIRST), jwk(SECOND, "k2"))
    for _ in range(3):
        assert provider.keys.key("k1") == public_key(FIRST)
        assert provider.keys.key("k2") == public_key(SECOND)
    assert provider.fetches == 1


def test_a_new_key_is_found() -> None:
    provider = Provider(jwk(FIRST))
    provider.keys.key("k1")
    provider.document = jwks(jwk(FIRST), jwk(SECOND, "k2"))
    provider.now += REFETCH_S
    assert provider.keys.key("k2") == public_key(SECOND)
    assert provider.fetches == 2


def test_random_ids_cost_the_provider_one_look_a_minute() -> None:
    provider = Provider(jwk(FIRST))
    for second in range(300):
        provider.now = 1000.0 + second
        with pytest.raises(TokenRefusedError, match="unknown_kid"):
            provider.keys.key(f"random-{second}")
        assert provider.keys.key("k1") == public_key(FIRST)
    assert provider.fetches == 5


def test_keys_are_kept_when_the_provider_is_away() -> None:
    provider = Provider(jwk(FIRST))
    provider.keys.key("k1")
    provider.document = None
    provider.now += MAX_AGE_S
    assert provider.keys.key("k1") == public_key(FIRST)
    assert provider.records[-1]["event"] == "jwks_not_fetched"
    assert provider.records[-1]["keysKept"] == 1
    # The failure is not repeated with every connection either.
    assert provider.keys.key("k1") == public_key(FIRST)
    assert provider.fetches == 2


def test_an_unknown_id_while_the_provider_is_away_may_be_a_new_key() -> None:
    """Nobody knows, so it is no refusal: the client tries again."""
    provider = Provider(jwk(FIRST))
    provider.keys.key("k1")
    provider.document = None
    provider.now += REFETCH_S
    for _ in range(3):
        with pytest.raises(IdentityProviderError):
            provider.keys.key("k2")
    assert provider.fetches == 2
    provider.document = jwks(jwk(SECOND, "k2"))
    provider.now += REFETCH_S
    assert provider.keys.key("k2") == public_key(SECOND)


def test_without_any_key_every_connection_tries() -> None:
    provider = Provider(jwk(FIRST))
    document, provider.document = provider.document, None
    for _ in range(2):
        with pytest.raises(IdentityProviderError):
            provider.keys.key("k1")
    provider.document = document
    assert provider.keys.key("k1") == public_key(FIRST)


def test_a_withdrawn_key_is_forgotten_within_the_hour() -> None:
    provider = Provider(jwk(FIRST), jwk(SECOND, "k2"))
    provider.keys.key("k2")
    provider.document = jwks(jwk(FIRST))
    provider.now += MAX_AGE_S
    with pytest.raises(TokenRefusedError, match="unknown_kid"):
        provider.keys.key("k2")
    assert provider.fetches == 2


def test_without_an_id_only_a_single_key_will_do() -> None:
    assert Provider(jwk(FIRST)).keys.key(None) == public_key(FIRST)
    assert Provider(jwk(FIRST, None)).keys.key(None) == public_key(FIRST)
    with pytest.raises(TokenRefusedError, match="no_kid"):
        Provider(jwk(FIRST), jwk(SECOND, "k2")).keys.key(None)


def test_keys_that_do_not_fit_are_passed_over() -> None:
    """RFC 7517, 5. The first of one name counts, so that nobody can put another one behind it."""
    document = jwks({"kty": "EC", "kid": "ec"}, jwk(FIRST, "enc", use="enc"), jwk(FIRST), jwk(SECOND))
    assert read_keys(document) == {"k1": public_key(FIRST)}
    mixed = json.dumps({"keys": [None, 5, jwk(FIRST, kid=7), jwk(FIRST, "k1")]}).encode()  # type: ignore[arg-type]
    assert list(read_keys(mixed)) == ["k1"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        jwks(jwk(FIRST, use="enc")),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_no_jwks_is_no_keys(document: bytes) -> None:
    with pytest.raises(IdentityProviderError):
        read_keys(document)


# Over the network


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Site:
    """An HTTP server on the loopback interface; `answer` is what it does."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request: request.send_error(404)
        self.paths: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.paths.append(self.path)
                site.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()


def document(body: bytes) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def redirect(target: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", target)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def test_the_handler_fetches_the_keys_once(
    site: Site, event: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, with the proxy settings of a machine that has some."""
    site.answer = document(jwks(jwk(FIRST)))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("LEGACY_WS_JWKS_URL", site.url)
    monkeypatch.setenv("LEGACY_WS_JWT_ISSUER", "https://idp")
    monkeypatch.setenv("LEGACY_WS_JWT_AUDIENCE", "chat")
    authorize.clear()
    token = rs256_token(FIRST, iss="https://idp", aud="chat")
    try:
        for _ in range(3):
            answer = authorize.handler(event("authorizer", queryStringParameters={"token": token}), None)
            assert answer["context"] == {"userId": "u-alice", "tenantId": "demo"}
        forged = rs256_token(SECOND, iss="https://idp", aud="chat")
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize.handler(event("authorizer", queryStringParameters={"token": forged}), None)
    finally:
        authorize.clear()
    assert site.paths == ["/jwks.json"]


def test_redirects_stay_on_the_host(site: Site) -> None:
    other = Site()
    try:
        other.answer = document(b"{}")
        for target in (other.url, "https://127.0.0.1/jwks.json", "file:///etc/passwd", "//evil.example/jwks"):
            site.answer = redirect(target)
            with pytest.raises(IdentityProviderError):
                https.fetch(site.url)
        assert other.paths == []
    finally:
        other.close()
    site.answer = lambda request: (redirect("/keys") if request.path == "/jwks.json" else document(b"moved"))(request)
    assert https.fetch(site.url) == b"moved"
    site.answer = redirect("/jwks.json")
    with pytest.raises(IdentityProviderError):
        https.fetch(site.url)


def test_a_large_document_is_not_read_to_its_end(site: Site) -> None:
    site.answer = document(b" " * (https.MAX_BYTES + 1))
    with pytest.raises(IdentityProviderError, match="more than"):
        https.fetch(site.url)
    site.answer = document(b" " * https.MAX_BYTES)
    assert len(https.fetch(site.url)) == https.MAX_BYTES


def test_a_provider_that_trickles_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the document never does."""
    monkeypatch.setattr(https, "TOTAL_S", 0.3)
    ended = threading.Event()

    def trickle(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        try:
            while not ended.wait(0.02):
                request.wfile.write(b" ")
                request.wfile.flush()
        except OSError:
            pass

    site.answer = trickle
    try:
        with pytest.raises(IdentityProviderError, match="not there after"):
            https.fetch(site.url)
    finally:
        ended.set()


def test_failures_are_the_providers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "SOCKET_S", 0.2)
    for status in (404, 429, 500, 503):
        site.answer = lambda request, status=status: request.send_error(status)  # type: ignore[misc]
        with pytest.raises(IdentityProviderError, match=str(status)):
            https.fetch(site.url)
    ended = threading.Event()
    site.answer = lambda request: ended.wait(10) and None  # type: ignore[func-returns-value]
    with pytest.raises(IdentityProviderError):
        https.fetch(site.url)
    ended.set()
    site.answer = lambda request: request.wfile.write(b"nonsense\r\n\r\n") and None  # type: ignore[func-returns-value]
    with pytest.raises(IdentityProviderError):
        https.fetch(site.url)
    with pytest.raises(IdentityProviderError):
        https.fetch("http://127.0.0.1:1/jwks.json")


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("https://idp.example.org/jwks.json", True),
        ("http://127.0.0.1:4566/pool/.well-known/jwks.json", True),
        ("http://localhost:1/x", True),
        ("http://[::1]:1/x", True),
        ("http://idp.example.org/jwks.json", False),
        ("http://127.0.0.1.evil.example/jwks.json", False),
        ("http://localhost@evil.example/jwks.json", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://host:port/", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_which_addresses_keys_may_come_from(url: str, usable: bool) -> None:
    assert https.is_usable_url(url) is usable
