from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from policies.bundle import (
    MAX_BUNDLE_BYTES,
    SignedBundle,
    sign_bundle,
    verify_bundle,
)
from policies.errors import BundleRefused
from policies.signers import BundleKeys
from tests.policies.world import KEY, PERMIT_ALL

FIRST = sign_bundle(SignedBundle("acme", 1, None, "ann", PERMIT_ALL, 1_790_000_000), KEY)
SECOND = sign_bundle(SignedBundle("acme", 2, FIRST.digest, "bob", "// ü\n", 1_790_000_001), KEY)


def test_what_is_signed_is_fixed() -> None:
    """A change of these bytes would orphan every stored bundle."""
    assert replace(FIRST, text="x").signed_bytes() == (
        b"sealgate policy bundle v1\n"
        b'{"author":"ann","created":1790000000,"epoch":1,"previous":null,"tenant":"acme","text":"x"}'
    )


def test_a_bundle_survives_its_bytes() -> None:
    for bundle in (FIRST, SECOND):
        again = SignedBundle.from_bytes(bundle.to_bytes())
        assert again == bundle
        verify_bundle(again, KEY.public_key())


@pytest.mark.parametrize(
    "forged",
    [
        replace(SECOND, tenant="other"),
        replace(SECOND, epoch=3),
        replace(SECOND, previous="0" * 64),
        replace(SECOND, author="eve"),
        replace(SECOND, text=PERMIT_ALL),
        replace(SECOND, created=1),
        replace(SECOND, signature=b""),
        replace(SECOND, signature=FIRST.signature),
        sign_bundle(SECOND, Ed25519PrivateKey.generate()),
    ],
)
def test_a_changed_bundle_is_not_genuine(forged: SignedBundle) -> None:
    with pytest.raises(BundleRefused):
        verify_bundle(forged, KEY.public_key())


@pytest.mark.parametrize(
    "bad",
    [
        replace(FIRST, tenant="Acme"),
        replace(FIRST, tenant=""),
        replace(FIRST, tenant="a" * 64),
        replace(FIRST, epoch=0),
        replace(FIRST, epoch=2**53),
        replace(FIRST, previous=SECOND.digest),
        replace(SECOND, previous=None),
        replace(SECOND, previous="A" * 64),
        replace(FIRST, author=""),
        replace(FIRST, author="a" * 257),
        replace(FIRST, author="\ud800"),
        replace(FIRST, text="x" * (256 * 1024 + 1)),
        replace(FIRST, text="\udfff"),
        replace(FIRST, created=-1),
    ],
)
def test_a_field_out_of_bounds_is_never_signed(bad: SignedBundle) -> None:
    with pytest.raises(BundleRefused):
        sign_bundle(bad, KEY)


def test_only_the_canonical_form_is_read() -> None:
    document = json.loads(FIRST.to_bytes())
    for other in (
        json.dumps(document).encode(),
        json.dumps(document | {"extra": 1}, sort_keys=True, separators=(",", ":")).encode(),
        FIRST.to_bytes() + b"\n",
        FIRST.to_bytes().replace(b'"epoch":1', b'"epoch":1,"epoch":1'),
        b"[" * 100_000,
        b"x" * (MAX_BUNDLE_BYTES + 1),
    ):
        with pytest.raises(BundleRefused):
            SignedBundle.from_bytes(other)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_end_as_a_bundle_or_a_refusal(data: bytes) -> None:
    with pytest.raises(BundleRefused):
        SignedBundle.from_bytes(data)


@given(st.integers(0, len(SECOND.to_bytes()) - 1), st.binary(min_size=1, max_size=1))
def test_a_changed_byte_is_noticed(position: int, byte: bytes) -> None:
    data = SECOND.to_bytes()
    changed = data[:position] + byte + data[position + 1 :]
    try:
        bundle = SignedBundle.from_bytes(changed)
        verify_bundle(bundle, KEY.public_key())
    except BundleRefused:
        return
    assert changed == data


def test_a_whole_history_is_accepted() -> None:
    BundleKeys(KEY).verify_chain([], "acme")
    BundleKeys(KEY).verify_chain([FIRST, SECOND], "acme")


@pytest.mark.parametrize(
    "history",
    [
        [SECOND],
        [SECOND, FIRST],
        [FIRST, FIRST],
        [FIRST, sign_bundle(replace(SECOND, previous="0" * 64), KEY)],
        [FIRST, replace(SECOND, text="forged")],
        [sign_bundle(replace(FIRST, text=""), KEY), SECOND],
        [FIRST, sign_bundle(replace(SECOND, tenant="other"), KEY)],
    ],
)
def test_a_history_with_a_hole_or_a_forgery_is_refused(history: list[SignedBundle]) -> None:
    with pytest.raises(BundleRefused):
        BundleKeys(KEY).verify_chain(history, "acme")
