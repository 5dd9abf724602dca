"""What the gateway's answers mean, over the wire (MG11). until phase 3"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError

from migrate.local.tls import ensure_certificates
from migrate.tables.gateway import Gateway, Verdict
from migrate.tables.lean import LeanManagement

ANSWERS = {
    "alive": (200, "", b'{"identity": {"userAgent": "a"}}'),
    "gone": (410, "GoneException", b""),
    "forbidden": (403, "ForbiddenException", b'{"message": "Forbidden"}'),
    "throttled": (429, "LimitExceededException:http://x", b""),
    "broken": (503, "", b"<html>"),
    "odd": (410, "SomethingElse", b""),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str]] = []  # noqa: RUF012 - what the test looks at
    closing = 0

    def do_GET(self) -> None:
        if Handler.closing:
            Handler.closing -= 1
            self.close_connection = True
            return
        self.seen.append((self.path, self.headers["Authorization"]))
        status, code, body = ANSWERS[self.path.rpartition("/")[2].partition("%")[0]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prod"
    server.shutdown()
    server.server_close()


def management(url: str) -> LeanManagement:
    return LeanManagement(url, "eu-west-1", Credentials("key", "secret"), 2)


@pytest.mark.parametrize(
    ("name", "verdict", "throttled"),
    [
        ("alive", Verdict.ALIVE, False),
        ("gone", Verdict.GONE, False),
        ("forbidden", Verdict.UNKNOWN, False),
        ("throttled", Verdict.UNKNOWN, True),
        ("broken", Verdict.UNKNOWN, True),
        ("odd", Verdict.UNKNOWN, False),
    ],
)
def test_only_410_is_gone(url: str, name: str, verdict: Verdict, throttled: bool) -> None:
    answer = Gateway([management(url)]).ask(f"{name}=")
    assert (answer.verdict, answer.throttled) == (verdict, throttled)
    path, signature = Handler.seen[0]
    assert path == f"/prod/@connections/{name}%3D"
    assert "/eu-west-1/execute-api/aws4_request" in signature


def test_gone_means_gone_everywhere(url: str) -> None:
    """MG11: with several stages, one that does not know keeps the row, one that knows it alive as well."""

    class Fixed:
        def __init__(self, name: str) -> None:
            self.name = name

        def get_connection(self, ConnectionId: str) -> Any:  # noqa: N803 - as boto3 calls it
            return management(url).get_connection(self.name)

    def ask(*names: str) -> Verdict:
        return Gateway([Fixed(name) for name in names]).ask("x").verdict

    assert ask("gone", "gone") is Verdict.GONE
    assert ask("gone", "alive") is Verdict.ALIVE
    assert ask("gone", "forbidden") is Verdict.UNKNOWN
    assert ask("forbidden", "alive") is Verdict.ALIVE


def test_a_network_that_is_away_says_nothing() -> None:
    answer = Gateway([management("http://127.0.0.1:9/prod")]).ask("x=")
    assert answer.verdict is Verdict.UNKNOWN


def test_through_a_proxy_the_whole_address_is_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's, as for every other call; and what NO_PROXY names goes without it."""
    monkeypatch.setenv("http_proxy", url.removesuffix("/prod"))
    assert Gateway([management("http://gateway.invalid/prod")]).ask("gone=").verdict is Verdict.GONE
    assert Handler.seen[0][0] == "http://gateway.invalid/prod/@connections/gone%3D"
    assert Gateway([management(url)]).ask("alive=").verdict is Verdict.ALIVE
    assert Handler.seen[1][0] == "/prod/@connections/alive%3D"


def test_certificates_are_those_that_the_environment_names(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ensure_certificates(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certfile, made.keyfile)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        secure = f"https://127.0.0.1:{server.server_port}/prod"
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made.ca))
        assert Gateway([management(secure)]).ask("gone=").verdict is Verdict.GONE
        monkeypatch.delenv("AWS_CA_BUNDLE")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        answer = Gateway([management(secure)]).ask("gone=")
        assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, "SSLError")
    finally:
        server.shutdown()
        server.server_close()


def test_a_connection_that_was_closed_meanwhile_is_made_again(url: str) -> None:
    """API Gateway closes what is idle, also without a word: the row would be not known, and the sweep slower."""
    one = management(url)
    assert Gateway([one]).ask("alive=").verdict is Verdict.ALIVE
    Handler.closing = 1
    assert Gateway([one]).ask("alive=").verdict is Verdict.ALIVE
    Handler.closing = 2
    assert Gateway([one]).ask("alive=").verdict is Verdict.UNKNOWN


def test_without_credentials_nothing_is_asked() -> None:
    with pytest.raises(NoCredentialsError):
        LeanManagement("http://127.0.0.1:9/prod", "eu-west-1", None, 1)
