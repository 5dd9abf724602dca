"""RSA keys, JWKS documents and signatures for the tests of legacy_ws.auth. until phase 3"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from functools import cache

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from legacy_ws.auth.rs256 import RsaKey

DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@cache
def private_key(name: str = "first", bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """The private key called `name`, the same throughout a test run."""
    return rsa.generate_private_key(exponent, bits)


def public_key(key: rsa.RSAPrivateKey) -> RsaKey:
    numbers = key.public_key().public_numbers()
    return RsaKey(numbers.n, numbers.e)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(key: rsa.RSAPrivateKey, kid: str | None = "k1", **changes: object) -> dict[str, object]:
    """The public part as a JWK; a change to None leaves a member out."""
    numbers = key.public_key().public_numbers()
    made: dict[str, object] = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "n": number(numbers.n),
        "e": number(numbers.e),
    }
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def jwks(*keys: dict[str, object]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def claims(**changes: object) -> dict[str, object]:
    """Claims of a good token; a change to None leaves a claim out."""
    now = time.time()
    made: dict[str, object] = {"sub": "u-alice", "tenant_id": "demo", "exp": now + 60, "iat": now}
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def rs256_token(key: rsa.RSAPrivateKey, kid: str | None = "k1", **changes: object) -> str:
    """Signed by `cryptography`, not by us."""
    return jwt.encode(claims(**changes), key, "RS256", headers={"kid": kid} if kid else None)


def token_with(header: dict[str, object], signature: bytes, **changes: object) -> str:
    """A token with any header and any signature."""
    return f"{signing_input(header, **changes).decode()}.{base64url(signature)}"


def signing_input(header: dict[str, object], **changes: object) -> bytes:
    return f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims(**changes)).encode())}".encode()


def encoded(message: bytes, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 9.2)."""
    tail = DIGEST_INFO + hashlib.sha256(message).digest()
    return b"\x00\x01" + b"\xff" * (size - 3 - len(tail)) + b"\x00" + tail


def raw_sign(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    """RSA's bare private operation on any block: what makes signatures with a wrong encoding."""
    numbers = key.private_numbers()
    n = numbers.public_numbers.n
    return pow(int.from_bytes(block, "big"), numbers.d, n).to_bytes((n.bit_length() + 7) // 8, "big")


def cube_root_above(value: int) -> int:
    """The least number whose cube is not below `value`."""
    low, high = 0, 1 << (value.bit_length() // 3 + 2)
    while low < high:
        middle = (low + high) // 2
        if middle**3 < value:
            low = middle + 1
        else:
            high = middle
    return low
