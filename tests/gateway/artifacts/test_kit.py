"""A partner's kit: one release key, one spelling, one hash."""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import make_kit, owner_key_id, parse_kit, release_key_id
from tests.gateway.artifacts.publisher import NOW, Tenant, public_pem

CLINIC = Tenant()
KIT = CLINIC.kit(triage=NOW - 5000)


def test_a_kit_is_read_as_it_was_made_and_its_hash_is_that_of_the_file() -> None:
    data = KIT.encode()
    assert parse_kit(data) == KIT
    assert KIT.digest() == hashlib.sha256(data).hexdigest()
    raw = KIT.public_release_key().public_bytes_raw()
    assert raw == CLINIC.release_key.public_key().public_bytes_raw()


def test_a_kit_with_two_release_keys_is_refused() -> None:
    other = release_key_id(Ed25519PrivateKey.generate().public_key())
    data = KIT.encode()
    twice = data.replace(b'"release_key":', b'"release_key":"%b","release_key":' % other.encode())
    both = json.loads(data)
    both["release_key"] = [both["release_key"], other]
    longer = data.replace(KIT.release_key.encode(), KIT.release_key.encode() + other.encode())
    for changed in (twice, json.dumps(both).encode() + b"\n", longer):
        with pytest.raises(StatementInvalid, match="no partner's kit"):
            parse_kit(changed)


def test_a_kit_in_another_spelling_is_refused() -> None:
    data = KIT.encode()
    spaced = json.dumps(json.loads(data), indent=1).encode() + b"\n"
    more = data[:-2] + b',"tenant_url":"x"}\n'
    for changed in (spaced, more, data[:-1], data + b"\n", b"\xef\xbb\xbf" + data, b"", b"\n"):
        with pytest.raises(StatementInvalid, match="no partner's kit"):
            parse_kit(changed)


def test_owners_keys_are_sorted_and_different() -> None:
    keys = sorted(owner_key_id(public_pem(Tenant().owner_key)) for _ in range(3))
    public = CLINIC.release_key.public_key()
    made = make_kit("clinic", public, [keys[2], keys[0], keys[1], keys[0]], {}, NOW)
    assert list(made.owner_keys) == keys
    value = json.loads(made.encode())
    value["owner_keys"] = keys[::-1]
    with pytest.raises(StatementInvalid):
        parse_kit(json.dumps(value, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    with pytest.raises(StatementInvalid):
        make_kit("clinic", public, [], {}, NOW)


def test_a_file_with_two_owners_keys_or_another_kind_is_refused() -> None:
    one, two = public_pem(CLINIC.owner_key), public_pem(Tenant().owner_key)
    curve = generate_private_key(SECP384R1()).public_key()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    wrong = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (one + two, b"", public_pem(CLINIC.release_key), wrong):
        with pytest.raises(StatementInvalid):
            owner_key_id(pem)


@given(st.binary(max_size=200) | st.just(b"[" * 9999 + b"\n"))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    with pytest.raises(StatementInvalid):
        parse_kit(data)
