"""RS256 with an issuer's published keys, Cognito, and what cannot be done to either."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sse_service.adapters.jwks_http import MAX_BYTES, fetch_keys
from sse_service.errors import UnauthorizedError, UnavailableError
from sse_service.jwks import MAX_AGE_S, MIN_INTERVAL_S, KeySet, parse_keys
from sse_service.settings import Secret, Settings
from sse_service.testing import FakeClock
from sse_service.tokens import ClaimRules, KeySetVerifier, SecretVerifier, key_id

NOW = 1_800_000_000.0
KEYS = {kid: rsa.generate_private_key(65537, 2048) for kid in ("k1", "k2")}
POOL = "eu-west-1_AbC123"
ISSUER = f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}"


def jwk(kid: str, /, **changes: Any) -> dict[str, Any]:
    made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[kid].public_key()))
    return {**made, "kid": kid, "use": "sig", "alg": "RS256", **changes}


def jwks(*kids: str) -> bytes:
    return json.dumps({"keys": [jwk(kid) for kid in kids]}).encode()


def sign(kid: str = "k1", key: Any = None, algorithm: str = "RS256", header: Any = None, **claims: Any) -> str:
    body = {"sub": "ann", "tenant_id": "demo", "exp": NOW + 60, **claims}
    body = {name: value for name, value in body.items() if value is not ...}
    return jwt.encode(body, key or KEYS["k1"], algorithm, headers={"kid": kid} if header is None else header)


def verifier(rules: ClaimRules | None = None, *kids: str) -> KeySetVerifier:
    return KeySetVerifier(parse_keys(jwks(*(kids or ("k1",)))).get, rules)


# Tokens ----------------------------------------------------------------------------------------------------


def test_wl4_a_token_signed_with_a_published_key_is_accepted() -> None:
    principal = verifier().verify(sign(scope="a b"), NOW)
    assert (principal.user, principal.tenant, principal.scopes) == ("ann", "demo", {"a", "b"})


def forged_hmac(kid: str = "k1", secret: bytes | None = None) -> str:
    """HS256 with the public key as the secret: the classic confusion."""
    secret = secret or KEYS["k1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    body = part(json.dumps({"sub": "admin", "tenant_id": "demo", "exp": NOW + 60}).encode())
    signed = head + b"." + body
    return (signed + b"." + part(hmac.digest(secret, signed, hashlib.sha256))).decode()


BAD: dict[str, Callable[[], str]] = {
    "another's key": lambda: sign(key=KEYS["k2"]),
    "unknown kid": lambda: sign(kid="k9"),
    "no kid": lambda: sign(header={}),
    "kid of a key that is not published": lambda: sign(kid="k2", key=KEYS["k2"]),
    "kid no text": lambda: sign(header={"kid": "k1", "jku": "https://evil.example"}, key=KEYS["k2"]),
    "HS256 with the public key": forged_hmac,
    "HS256 with the kid": lambda: forged_hmac(secret=b"k1"),
    "HS256 with nothing": lambda: forged_hmac(secret=b"\0"),
    "RS512": lambda: sign(algorithm="RS512"),
    "PS256": lambda: sign(algorithm="PS256"),
    "ES256": lambda: sign(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
    "none": lambda: jwt.encode({"sub": "a", "tenant_id": "d", "exp": NOW + 9}, None, "none", headers={"kid": "k1"}),
    "key in the header": lambda: sign(key=KEYS["k2"], header={"kid": "k1", "jwk": jwk("k2")}),
    "expired": lambda: sign(exp=NOW),
    "no exp": lambda: sign(exp=...),
    "garbage": lambda: "a.b.c",
    "huge": lambda: "a" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_cannot_choose_how_it_is_checked(name: str) -> None:
    with pytest.raises(UnauthorizedError):
        verifier().verify(BAD[name](), NOW)


def test_the_secret_of_one_mode_opens_nothing_in_the_other() -> None:
    secret = "s" * 32
    with pytest.raises(UnauthorizedError):
        SecretVerifier(secret).verify(sign(), NOW)
    with pytest.raises(UnauthorizedError):
        verifier().verify(sign(key=secret, algorithm="HS256"), NOW)


def test_a_withdrawn_key_opens_nothing_though_its_token_was_seen() -> None:
    keys = dict(parse_keys(jwks("k1")))
    checks = KeySetVerifier(keys.get)
    token = sign()
    assert checks.verify(token, NOW)
    del keys["k1"]
    with pytest.raises(UnauthorizedError):
        checks.verify(token, NOW)


COGNITO = ClaimRules(issuer=ISSUER, default_tenant="solo", token_uses=frozenset({"access", "id"}), client_ids={"app"})  # type: ignore[arg-type]  # a set will do


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"token_use": "access", "client_id": "app"}, True),
        ({"token_use": "id", "aud": "app"}, True),
        ({"token_use": "access", "client_id": "other"}, False),
        ({"token_use": "access", "aud": "app"}, False),
        ({"token_use": "id", "client_id": "app"}, False),
        ({"token_use": "refresh", "client_id": "app"}, False),
        ({"client_id": "app"}, False),
        ({"token_use": "access", "client_id": "app", "iss": "https://evil.example"}, False),
    ],
)
def test_cognito_tokens_say_what_they_are_for(claims: dict[str, Any], good: bool) -> None:
    token = sign(tenant_id=..., **{"iss": ISSUER, "scope": "sse-service/events:publish openid", **claims})
    if not good:
        with pytest.raises(UnauthorizedError):
            verifier(COGNITO).verify(token, NOW)
        return
    principal = verifier(COGNITO).verify(token, NOW)
    assert (principal.user, principal.tenant) == ("ann", "solo")
    assert principal.scopes == {"events:publish", "openid"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 5}',
        b'{"keys": []}',
        b'{"keys": [5, null, {}]}',
        b"[" * 100_000,
        json.dumps({"keys": [jwk("k1", kty="EC")]}).encode(),
        json.dumps({"keys": [jwk("k1", use="enc")]}).encode(),
        json.dumps({"keys": [jwk("k1", alg="HS256")]}).encode(),
        json.dumps({"keys": [jwk("k1", kid=5)]}).encode(),
        json.dumps({"keys": [jwk("k1", n="AQAB")]}).encode(),
        json.dumps({"keys": [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]}).encode(),
    ],
    ids=range(13),
)
def test_what_holds_no_usable_key_is_no_key_set(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_keys(data)


def test_unusable_keys_among_good_ones_are_passed_over() -> None:
    weak = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    data = {"keys": [{**weak, "kid": "weak"}, jwk("k2", use="enc"), jwk("k1")]}
    assert set(parse_keys(json.dumps(data).encode())) == {"k1"}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", sign(header={"kid": "k"})[:10]])
def test_no_key_id_in_what_is_no_token(token: str) -> None:
    assert key_id(token) == ""


# The set of keys -------------------------------------------------------------------------------------------


@dataclass
class Issuer:
    body: bytes = field(default_factory=lambda: jwks("k1"))
    error: Exception | None = None
    calls: int = 0
    gate: asyncio.Event | None = None

    async def fetch(self) -> bytes:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.body


async def test_an_unknown_key_is_looked_for_once_however_many_ask() -> None:
    issuer, clock = Issuer(gate=asyncio.Event()), FakeClock()
    keys = KeySet(issuer.fetch, clock)
    asking = [asyncio.create_task(keys.ensure("k1")) for _ in range(50)]
    await asyncio.sleep(0)
    assert issuer.gate is not None
    issuer.gate.set()
    await asyncio.gather(*asking)
    assert issuer.calls == 1 and keys.lookup("k1") is not None
    for n in range(50):
        await keys.ensure(f"invented-{n}")
    assert issuer.calls == 1  # rate-limited: they are simply unknown
    issuer.body = jwks("k1", "k2")
    clock.advance(MIN_INTERVAL_S)
    await keys.ensure("k2")
    assert issuer.calls == 2 and keys.lookup("k2") is not None
    await keys.close()


async def test_one_who_leaves_does_not_end_the_fetch_for_the_others() -> None:
    issuer = Issuer(gate=asyncio.Event())
    keys = KeySet(issuer.fetch, FakeClock())
    first, second = (asyncio.create_task(keys.ensure("k1")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert issuer.gate is not None
    issuer.gate.set()
    await second
    assert keys.lookup("k1") is not None and issuer.calls == 1


@pytest.mark.parametrize("error", [OSError("away"), ValueError("503")])
async def test_keys_stay_when_the_issuer_is_away(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    issuer, clock = Issuer(), FakeClock()
    keys = KeySet(issuer.fetch, clock)
    await keys.ensure("k1")
    issuer.error = error
    clock.advance(MAX_AGE_S)
    await keys.ensure("k1")  # in the background
    await keys.ensure("k9")  # waits for that one
    assert issuer.calls == 2 and keys.lookup("k1") is not None
    issuer.error, issuer.body = None, b"<html>"
    clock.advance(MIN_INTERVAL_S)
    await keys.ensure("k9")
    assert issuer.calls == 3 and keys.lookup("k1") is not None
    assert sum("could not be read" in record.message for record in caplog.records) == 2


async def test_old_keys_are_used_while_new_ones_are_fetched_and_withdrawn_ones_go() -> None:
    issuer, clock = Issuer(jwks("k1", "k2")), FakeClock()
    keys = KeySet(issuer.fetch, clock)
    await keys.ensure("k1")
    issuer.body = jwks("k2")
    clock.advance(MAX_AGE_S)
    issuer.gate = asyncio.Event()
    await keys.ensure("k1")
    assert keys.lookup("k1") is not None  # nobody waits
    issuer.gate.set()
    await keys.ensure("k9")
    assert keys.lookup("k1") is None and keys.lookup("k2") is not None


async def test_before_any_key_is_known_a_token_is_not_called_invalid() -> None:
    issuer = Issuer(error=OSError("away"))
    keys = KeySet(issuer.fetch, FakeClock())
    await keys.ensure("k1")
    with pytest.raises(UnavailableError):
        KeySetVerifier(keys.lookup).verify(sign(), NOW)


# Over HTTP -------------------------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def publish() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    runners = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return f"http://127.0.0.1:{port}/jwks.json"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_a_fetch_is_bounded_in_size_and_time_and_follows_nobody(publish: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        what = request.query_string
        if what == "redirect":
            raise web.HTTPFound("/jwks.json?good")
        if what == "error":
            raise web.HTTPInternalServerError
        response = web.StreamResponse()
        await response.prepare(request)
        if what == "drip":
            for _ in range(100):
                await response.write(b" ")
                await asyncio.sleep(0.05)
        await response.write(b"x" * (MAX_BYTES + 1) if what == "huge" else jwks("k1"))
        return response

    url = await publish(answer)
    assert parse_keys(await fetch_keys(f"{url}?good"))
    for what, error in (("redirect", ValueError), ("error", ValueError), ("huge", ValueError), ("drip", OSError)):
        with pytest.raises(error):
            await fetch_keys(f"{url}?{what}", timeout_s=0.3)
    with pytest.raises(OSError):
        await fetch_keys("http://127.0.0.1:9/jwks.json")


async def test_the_service_accepts_an_issuers_tokens_and_picks_up_a_new_key(
    start_api: Any, settings: Settings, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.jwks.MIN_INTERVAL_S", 0.0)
    published = ["k1"]

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=jwks(*published))

    url = await publish(answer)
    api = await start_api(settings.replace(jwt_secret=Secret(""), jwks_url=url))

    async def status(token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        found: int = (await api.client.get("/api/chat/history?conversationId=a", headers=headers)).status_code
        return found

    ttl = {"exp": time.time() + 60}
    assert await status(sign(**ttl)) == 403  # known, and no participant
    second = sign("k2", KEYS["k2"], **ttl)
    assert await status(second) == 401
    published.append("k2")
    assert await status(second) == 403
    assert await status(forged_hmac()) == 401


async def test_while_the_issuer_was_never_reached_the_service_says_come_back(
    start_api: Any, settings: Settings
) -> None:
    api = await start_api(settings.replace(jwt_secret=Secret(""), jwks_url="http://127.0.0.1:9/keys"))
    headers = {"authorization": f"Bearer {sign()}"}
    answer = await api.client.get("/api/chat/stream", headers=headers)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
