"""Signature Version 4 of requests without query and body, many of them with the same key. Pure. until phase 3

What botocore's signer does for every request is here done once a second, or once a day: the date, and the key that is
derived from the secret. Each signature is the one that botocore makes (IAM user guide, "Create a signed AWS API
request").
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

__all__ = ["Signer"]

_NOTHING = hashlib.sha256(b"").hexdigest()


class Signer:
    """Signs GET requests to one host.

    Args:
        host: as the Host header says it.
        credentials: botocore's; refreshed as they expire.
        clock: epoch seconds.
    """

    def __init__(
        self, host: str, service: str, region: str, credentials: Any, clock: Callable[[], float] = time.time
    ) -> None:
        self._host, self._service, self._region = host, service, region
        self._credentials, self._clock = credentials, clock
        self._second: tuple[int, str] = (-1, "")
        self._derived: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def headers(self, path: str) -> dict[str, str]:
        """The headers of a GET.

        Args:
            path: as it is sent, that is percent-encoded once; without a query, `//`, or parts of dots.
        """
        keys = self._credentials.get_frozen_credentials()
        at = self._at()
        scope = f"{at[:8]}/{self._region}/{self._service}/aws4_request"
        headers = {"Host": self._host, "X-Amz-Date": at}
        signed, lines = "host;x-amz-date", f"host:{self._host}\nx-amz-date:{at}\n"
        if keys.token:
            headers["X-Amz-Security-Token"] = keys.token
            signed, lines = f"{signed};x-amz-security-token", f"{lines}x-amz-security-token:{keys.token}\n"
        # Every service but S3 has the path encoded once more.
        request = f"GET\n{quote(path, safe='/~')}\n\n{lines}\n{signed}\n{_NOTHING}"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._key(keys.secret_key, at[:8]), text.encode(), "sha256").hexdigest()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
        return headers

    # Threads share both: each is one value that is replaced as a whole.

    def _at(self) -> str:
        now = int(self._clock())
        second, text = self._second
        if second != now:
            text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            self._second = now, text
        return text

    def _key(self, secret: str, day: str) -> bytes:
        of, key = self._derived
        if of != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._derived = (secret, day), key
        return key
