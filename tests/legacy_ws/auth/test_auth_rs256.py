"""legacy_ws.auth.rs256 (WL4): signatures of `cryptography` are accepted, and nothing that only looks like one.
until phase 3
"""

from __future__ import annotations

import hashlib

import pytest
from auth_support import DIGEST_INFO, cube_root_above, encoded, jwk, number, private_key, public_key, raw_sign
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st

from legacy_ws.auth.rs256 import RS256, RsaKey, UnusableKeyError, read_key, verify

MESSAGE = b"header.payload"


def accepted_by_cryptography(name: str, bits: int, exponent: int, signature: bytes) -> bool:
    try:
        private_key(name, bits, exponent).public_key().verify(signature, MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize(("bits", "exponent"), [(2048, 65537), (2048, 3), (2056, 65537), (3072, 3)])
def test_signatures_of_cryptography_are_accepted(bits: int, exponent: int) -> None:
    """2,056 bits: a modulus whose size is no power of two."""
    key = private_key("sizes", bits, exponent)
    signature = key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    assert verify(MESSAGE, public_key(key), signature)
    assert not verify(MESSAGE + b"x", public_key(key), signature)
    assert not verify(MESSAGE, public_key(private_key("another", bits, exponent)), signature)


@given(message=st.binary(max_size=300), flipped=st.integers(0, 2047))
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_is_one_too_many(message: bytes, flipped: int) -> None:
    key = private_key()
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    assert verify(message, public_key(key), signature)
    other = (int.from_bytes(signature, "big") ^ (1 << flipped)).to_bytes(256, "big")
    assert not verify(message, public_key(key), other)


def test_other_schemes_and_hashes_are_refused() -> None:
    key = private_key()
    pss = key.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    assert not verify(MESSAGE, public_key(key), pss)
    for other in (hashes.SHA1(), hashes.SHA384(), hashes.SHA512()):
        assert not verify(MESSAGE, public_key(key), key.sign(MESSAGE, padding.PKCS1v15(), other))


TAIL = DIGEST_INFO + hashlib.sha256(MESSAGE).digest()
GOOD = encoded(MESSAGE, 256)
# What parsers in the wild have let through. Each block is signed with the true private key, so that only its encoding
# is wrong.
BLOCKS = {
    "short padding, garbage behind (Bleichenbacher 2006)": b"\x00\x01" + b"\xff" * 8 + b"\x00" + TAIL + b"\x00" * 194,
    "garbage at the very end": GOOD[:2] + GOOD[3:] + b"\x00",
    "garbage within the padding": GOOD[:20] + b"\x00" + GOOD[21:],
    "no padding at all": b"\x00" * (256 - len(TAIL) - 1) + b"\x00" + TAIL,
    "block type 0": b"\x00\x00" + GOOD[2:],
    "block type 2": b"\x00\x02" + GOOD[2:],
    "no separator": GOOD[:204] + b"\xff" + GOOD[205:],
    "parameters left out of DigestInfo (RFC 8017, 8.2.2, note)": b"\x00\x01"
    + b"\xff" * 204
    + b"\x00"
    + bytes.fromhex("302f300b0609608648016503040201" + "0420")
    + hashlib.sha256(MESSAGE).digest(),
    "long form of a DER length (BERserk)": b"\x00\x01"
    + b"\xff" * 201
    + b"\x00"
    + bytes.fromhex("308131300d06096086480165030402010500" + "0420")
    + hashlib.sha256(MESSAGE).digest(),
    "parameters that hold garbage (CVE-2006-4339 kind)": b"\x00\x01"
    + b"\xff" * 192
    + b"\x00"
    + bytes.fromhex("303b3017060960864801650304020105" + "0a" + "41" * 10 + "0420")
    + hashlib.sha256(MESSAGE).digest(),
    "bare hash, without DigestInfo": b"\x00\x01" + b"\xff" * 221 + b"\x00" + hashlib.sha256(MESSAGE).digest(),
    "SHA-1's identifier with this hash": b"\x00\x01"
    + b"\xff" * 206
    + b"\x00"
    + bytes.fromhex("302d300906052b0e03021a05000420")
    + hashlib.sha256(MESSAGE).digest(),
}


def test_the_block_that_the_others_vary_is_accepted() -> None:
    assert verify(MESSAGE, public_key(private_key()), raw_sign(private_key(), GOOD))


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_wrong_encoding_is_refused(kind: str) -> None:
    assert len(BLOCKS[kind]) == 256
    assert not verify(MESSAGE, public_key(private_key()), raw_sign(private_key(), BLOCKS[kind]))


def test_a_forgery_without_the_private_key_is_refused() -> None:
    """Bleichenbacher's: with e = 3, a cube root of `00 01 ff.. 00 DigestInfo hash garbage` needs no key."""
    key = public_key(private_key("sizes", 3072, 3))
    head = b"\x00\x01" + b"\xff" * 8 + b"\x00" + TAIL
    wanted = int.from_bytes(head + b"\x00" * (key.size - len(head)), "big")
    forged = cube_root_above(wanted).to_bytes(key.size, "big")
    opened = pow(int.from_bytes(forged, "big"), 3, key.modulus).to_bytes(key.size, "big")
    assert opened.startswith(head), "the forgery would deceive a verifier that does not look behind the hash"
    assert not verify(MESSAGE, key, forged)


def test_a_signature_has_the_length_of_the_modulus_and_lies_below_it() -> None:
    key = private_key()
    signature = key.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    public = public_key(key)
    number_of = int.from_bytes(signature, "big")
    for other in (b"", b"\x00", signature[1:], signature[:-1], b"\x00" + signature, signature + b"\x00"):
        assert not verify(MESSAGE, public, other)
    # s + n opens to the same block as s.
    assert pow(number_of + public.modulus, public.exponent, public.modulus).to_bytes(256, "big") == GOOD
    assert not verify(MESSAGE, public, public.modulus.to_bytes(256, "big"))
    assert not verify(MESSAGE, public, b"\xff" * 256)


def test_s_plus_n_is_refused_also_where_it_fits() -> None:
    """Signatures small enough that s + n still has the length of the modulus."""
    public = public_key(private_key())
    for counter in range(1000):
        message = b"message %d" % counter
        signature = raw_sign(private_key(), encoded(message, 256))
        beyond = int.from_bytes(signature, "big") + public.modulus
        if beyond.bit_length() <= 2048:
            assert verify(message, public, signature)
            assert not verify(message, public, beyond.to_bytes(256, "big"))
            return
    raise AssertionError("no signature was small enough")


@given(st.binary(min_size=256, max_size=256))
@settings(max_examples=100, deadline=None)
def test_we_accept_nothing_that_cryptography_refuses(signature: bytes) -> None:
    assert verify(MESSAGE, public_key(private_key()), signature) == accepted_by_cryptography(
        "first", 2048, 65537, signature
    )


def test_a_jwk_is_read() -> None:
    assert read_key(jwk(private_key())) == public_key(private_key())
    assert read_key(jwk(private_key(), kid=None, use=None, alg=None)) == public_key(private_key())
    assert read_key(jwk(private_key(), key_ops=["verify"])) == public_key(private_key())


N = private_key().public_key().public_numbers().n
UNUSABLE = {
    "symmetric": {"kty": "oct", "k": "a2V5"},
    "elliptic": {"kty": "EC"},
    "no kind": {"kty": None},
    "for encryption": {"use": "enc"},
    "use of another type": {"use": ["sig"]},
    "for RS512": {"alg": "RS512"},
    "for PS256": {"alg": "PS256"},
    "for HS256": {"alg": "HS256"},
    "not for verifying": {"key_ops": ["sign"]},
    "key_ops of another type": {"key_ops": "verify"},
    "1024 bits": {"n": number(private_key("short", 1024).public_key().public_numbers().n)},
    "2047 bits": {"n": number((1 << 2046) + 1)},
    "16384 bits": {"n": number((1 << 16383) + 1)},
    "even modulus": {"n": number(N + 1)},
    "modulus zero": {"n": "AA"},
    "exponent 1": {"e": "AQ"},
    "exponent 2": {"e": "Ag"},
    "even exponent": {"e": "AQAA"},
    "exponent zero": {"e": "AA"},
    "huge exponent": {"e": number((1 << 2000) + 1)},
    "no modulus": {"n": None},
    "empty exponent": {"e": ""},
    "exponent of another type": {"e": 65537},
    "padded": {"e": "AQAB="},
    "standard base64": {"n": "+/" + number(N)[2:]},
    "no base64 length": {"e": "AQABA"},
    "not ASCII": {"e": "ÄQAB"},
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_key_is_refused(kind: str) -> None:
    with pytest.raises(UnusableKeyError):
        read_key(jwk(private_key(), **UNUSABLE[kind]))  # type: ignore[arg-type] # changes of one table


def test_the_algorithm_object_takes_nothing_but_keys_of_ours() -> None:
    for other in ("secret", b"secret", private_key().public_key(), None):
        with pytest.raises(TypeError):
            RS256().prepare_key(other)
    with pytest.raises(NotImplementedError):
        RS256().sign(b"", RsaKey(N, 65537))
