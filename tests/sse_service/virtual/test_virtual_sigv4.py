"""Signatures are checked against what botocore makes."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sse_service.virtual.sigv4 import SKEW_S, SignatureError, SignedRequest, verify

SECRETS = {"AKID": "secret/one", "AKID2": "two"}
URL = "https://host.example:8443/prod/%40connections/BFaT_fALIAMCKug%3D?b=2&a=%20x&a=1&c="


def signed(
    url: str = URL, body: bytes = b"data", key: str = "AKID", secret: str = "secret/one", **headers: str
) -> tuple[SignedRequest, float]:
    request = AWSRequest("POST", url, data=body, headers={"X-Custom": "a   b ", **headers})
    SigV4Auth(Credentials(key, secret, "token"), "execute-api", "ap-northeast-1").add_auth(request)
    parts = urlsplit(url)
    lines = [(name.lower(), value) for name, value in request.headers.items()]
    lines.append(("host", parts.netloc))
    at = datetime.datetime.strptime(f"{request.headers['X-Amz-Date']}+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    return SignedRequest("POST", parts.path, parts.query, lines, body), at


def altered(request: SignedRequest, **changes: Any) -> SignedRequest:
    values = {name: getattr(request, name) for name in SignedRequest.__slots__}
    return SignedRequest(**{**values, **changes})


@pytest.mark.parametrize("url", [URL, "https://h/prod/%40connections/a%3D", "https://h/p/@connections/a%2Bb_-~.="])
def test_what_botocore_signs_is_taken(url: str) -> None:
    request, at = signed(url)
    assert verify(request, SECRETS, at) == "AKID"
    other, at = signed(url, key="AKID2", secret="two", body=b"")
    assert verify(other, SECRETS, at) == "AKID2"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "DELETE"},
        {"raw_path": "/prod/%40connections/another"},
        {"query": "b=2"},
        {"body": b"dat4"},
        {"headers_changed": ("x-custom", "other")},
        {"headers_changed": ("host", "evil.example")},
        {"headers_changed": ("x-amz-security-token", "another")},
    ],
)
def test_nothing_that_was_signed_can_be_changed(changes: dict[str, Any]) -> None:
    request, at = signed()
    if "headers_changed" in changes:
        name, value = changes["headers_changed"]
        changes = {"headers": [(key, value if key == name else old) for key, old in request.headers]}
    with pytest.raises(SignatureError) as caught:
        verify(altered(request, **changes), SECRETS, at)
    assert caught.value.error_type == "InvalidSignatureException"


def test_a_clock_may_be_five_minutes_off() -> None:
    request, at = signed()
    for now in (at - SKEW_S, at + SKEW_S):
        assert verify(request, SECRETS, now) == "AKID"
    for now in (at - SKEW_S - 1, at + SKEW_S + 1):
        with pytest.raises(SignatureError):
            verify(request, SECRETS, now)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer x",
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature="
        + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/r/execute-api/aws4_request, SignedHeaders=host, Signature="
        + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=AKID, SignedHeaders=host;x-amz-date, Signature=zz",
    ],
)
def test_what_is_no_signature_is_refused(authorization: str) -> None:
    request, at = signed()
    headers = [pair for pair in request.headers if pair[0] != "authorization"]
    with pytest.raises(SignatureError):
        verify(altered(request, headers=[*headers, ("authorization", authorization)]), SECRETS, at)


def test_a_header_that_is_signed_twice_counts_with_both_values() -> None:
    request, at = signed()
    with pytest.raises(SignatureError):
        verify(altered(request, headers=[*request.headers, ("x-custom", "more")]), SECRETS, at)
