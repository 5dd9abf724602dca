"""Is a request signed with one of the keys we know? AWS Signature Version 4, in the Authorization header. Pure.

Source: IAM user guide, "Create a signed AWS API request" (reference_sigv-create-signed-request.html) and "Elements of
an AWS API request signature"; errors as "Common errors" and API Gateway's gateway responses have them. Path segments
are encoded once more than they are on the wire, as for every service but S3. Its tests sign with botocore.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

__all__ = ["SKEW_S", "SignatureError", "SignedRequest", "verify"]

SKEW_S = 300.0
"""How far the caller's clock may be off ("requests must reach AWS within five minutes of the time stamp")."""
SERVICE = "execute-api"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request\s*,\s*SignedHeaders=(?P<headers>[a-z0-9;._-]+)\s*,\s*Signature=(?P<signature>[0-9a-f]{64})"
)


class SignatureError(Exception):
    """error_type: AWS's name for it; the message is safe to be shown."""

    def __init__(self, error_type: str, message: str) -> None:
        self.error_type = error_type
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """As it came over the wire. headers: names in lower case."""

    method: str
    raw_path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [" ".join(value.split()) for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        return ",".join(self.values(name))


def verify(request: SignedRequest, secrets: Mapping[str, str], now_s: float) -> str:
    """The access key that signed it. Raises SignatureError."""
    authorization = request.value("authorization")
    if not authorization:
        raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(authorization)
    if not found or found["service"] != SERVICE:
        raise SignatureError("IncompleteSignatureException", "Authorization is no complete signature for execute-api")
    names = found["headers"].split(";")
    if names != sorted(set(names)) or not {"host", "x-amz-date"} <= set(names):
        raise SignatureError("IncompleteSignatureException", "SignedHeaders must hold host and x-amz-date, sorted")
    _require_recent(request.value("x-amz-date"), found["date"], now_s)
    secret = secrets.get(found["key"])
    if secret is None:
        raise SignatureError("UnrecognizedClientException", "The security token included in the request is invalid.")
    scope = f"{found['date']}/{found['region']}/{SERVICE}/aws4_request"
    expected = _signature(secret, scope, request.value("x-amz-date"), _canonical(request, names))
    if not hmac.compare_digest(expected, found["signature"]):
        raise SignatureError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    return found["key"]


def _require_recent(stamp: str, date: str, now_s: float) -> None:
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise SignatureError("IncompleteSignatureException", "X-Amz-Date is not a time like 20261122T040000Z") from None
    if stamp[:8] != date:
        raise SignatureError("InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date")
    if abs(now_s - at) > SKEW_S:
        raise SignatureError("InvalidSignatureException", "Signature expired or not yet current")


def _canonical(request: SignedRequest, names: Sequence[str]) -> str:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    query = "&".join(
        f"{name}={value}" for name, value in sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in pairs)
    )
    payload = hashlib.sha256(request.body).hexdigest()
    return "\n".join(
        (
            request.method,
            quote(request.raw_path, safe="/~"),
            query,
            *(f"{name}:{request.value(name)}" for name in names),
            "",
            ";".join(names),
            payload,
        )
    )


def _signature(secret: str, scope: str, stamp: str, canonical: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()
