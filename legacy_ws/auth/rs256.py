"""RS256 in pure Python: RSASSA-PKCS1-v1_5 with SHA-256, verification only. until phase 3

Pure. The Lambda package holds no compiled code (docs/decisions/0005-rs256-without-compiled-code.md), and verifying
needs none: one `pow` with public numbers and a comparison. Source: RFC 8017, 8.2.2 (RSASSA-PKCS1-V1_5-VERIFY), 9.2
(EMSA-PKCS1-v1_5); RFC 7518, 3.3 and 6.3.1; RFC 7517, 4.

The signature is opened and compared with the one encoding that is right, byte for byte. It is never parsed: every
known forgery against PKCS #1 v1.5 (Bleichenbacher 2006, "BERserk") lives in a parser that is content with less.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jwt.algorithms import Algorithm

__all__ = ["RS256", "RsaKey", "UnusableKeyError", "read_key", "verify"]

# RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used". The upper bounds keep one handshake cheap.
_MIN_BITS, _MAX_BITS = 2048, 8192
_MAX_EXPONENT_BITS = 64
# RFC 8017, 9.2, note 1: DigestInfo of SHA-256 with the hash left out.
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class UnusableKeyError(ValueError):
    """A JWK that cannot verify RS256, or that we do not trust to; the message says why."""


@dataclass(frozen=True)
class RsaKey:
    """An RSA public key. Raises: UnusableKeyError: too short, too long, or not RSA numbers at all."""

    modulus: int
    exponent: int

    def __post_init__(self) -> None:
        bits = self.modulus.bit_length()
        if not _MIN_BITS <= bits <= _MAX_BITS:
            raise UnusableKeyError(f"modulus of {bits} bits, not {_MIN_BITS} to {_MAX_BITS}")
        if self.modulus % 2 == 0:
            raise UnusableKeyError("even modulus")
        if self.exponent < 3 or self.exponent % 2 == 0 or self.exponent.bit_length() > _MAX_EXPONENT_BITS:
            raise UnusableKeyError(f"exponent is even, below 3 or longer than {_MAX_EXPONENT_BITS} bits")

    @property
    def size(self) -> int:
        """Bytes of the modulus, and of every signature."""
        return (self.modulus.bit_length() + 7) // 8


def read_key(jwk: Mapping[str, object]) -> RsaKey:
    """The key in `jwk`: {"kty": "RSA", "n": base64url, "e": base64url, "use"?: "sig", "alg"?: "RS256",
    "key_ops"?: ["verify", ...]}.

    Raises: UnusableKeyError: another kind, for another purpose or algorithm, too weak, or malformed.
    """
    if jwk.get("kty") != "RSA":
        raise UnusableKeyError("kty is not RSA")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKeyError("use is not sig")
    if jwk.get("alg", "RS256") != "RS256":
        raise UnusableKeyError("alg is not RS256")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKeyError("key_ops without verify")
    return RsaKey(_number(jwk, "n"), _number(jwk, "e"))


def verify(message: bytes, key: RsaKey, signature: bytes) -> bool:
    """Whether `signature` is that of `message` under `key`."""
    size = key.size
    if len(signature) != size:  # RFC 8017, 8.2.2, step 1
        return False
    representative = int.from_bytes(signature, "big")
    if representative >= key.modulus:  # 5.2.2, step 1: "signature representative out of range"
        return False
    opened = pow(representative, key.exponent, key.modulus).to_bytes(size, "big")
    tail = _DIGEST_INFO + hashlib.sha256(message).digest()
    expected = b"\x00\x01" + b"\xff" * (size - 3 - len(tail)) + b"\x00" + tail
    return hmac.compare_digest(opened, expected)


class RS256(Algorithm):
    """`verify` as an algorithm object of PyJWT; a key is an RsaKey and nothing else."""

    def prepare_key(self, key: Any) -> RsaKey:
        """Raises: TypeError: no RsaKey."""
        if not isinstance(key, RsaKey):
            raise TypeError("RS256 takes an RsaKey")
        return key

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        """See `verify` of this module."""
        return verify(msg, self.prepare_key(key), sig)

    def sign(self, msg: bytes, key: Any) -> NoReturn:
        """Not here: there is no private key."""
        raise NotImplementedError

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> NoReturn:
        """Not needed."""
        raise NotImplementedError

    @staticmethod
    def from_jwk(jwk: Any) -> NoReturn:
        """Not needed: see `read_key`."""
        raise NotImplementedError


def _number(jwk: Mapping[str, object], name: str) -> int:
    text = jwk.get(name)
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise UnusableKeyError(f"{name} is no base64url number")
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except binascii.Error:
        raise UnusableKeyError(f"{name} is no base64url number") from None
