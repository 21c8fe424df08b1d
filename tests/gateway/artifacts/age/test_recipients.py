from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.age import (
    HybridRecipient,
    Identity,
    X25519Recipient,
    bech32,
    generate_identity,
    parse_identity,
    parse_recipient,
)
from gateway.artifacts.age.stanza import Stanza, encode_base64
from gateway.artifacts.errors import HeaderInvalid, IdentityInvalid, RecipientInvalid

FILE_KEY = bytes(range(16))
CLASSICAL = generate_identity(os.urandom)
HYBRID = generate_identity(os.urandom, post_quantum=True)
BOTH = pytest.mark.parametrize("identity", [CLASSICAL, HYBRID], ids=["x25519", "hybrid"])


@BOTH
def test_text_round_trip(identity: Identity) -> None:
    assert parse_identity(identity.secret).recipient == identity.recipient
    assert str(parse_recipient(identity.recipient)) == identity.recipient


def test_the_same_randomness_makes_the_same_identity() -> None:
    assert generate_identity(lambda n: b"s" * n).secret == generate_identity(b"s".__mul__).secret


@BOTH
def test_a_wrapped_key_opens_for_its_recipient_only(identity: Identity) -> None:
    stanza = parse_recipient(identity.recipient).wrap(FILE_KEY, os.urandom)
    assert identity.unwrap(stanza) == FILE_KEY
    for post_quantum in (False, True):
        other = generate_identity(os.urandom, post_quantum=post_quantum)
        assert other.unwrap(stanza) is None


@pytest.mark.parametrize(
    "text",
    ["", "age1", "AGE-SECRET-KEY-1", bech32.encode("age", b"x" * 31), HYBRID.secret],
    ids=["nothing", "no data", "no identity either", "short", "identity"],
)
def test_what_is_no_recipient_is_refused(text: str) -> None:
    with pytest.raises(RecipientInvalid):
        parse_recipient(text)


@pytest.mark.parametrize(
    "text",
    ["", bech32.encode("AGE-SECRET-KEY-", b"x" * 33), CLASSICAL.recipient],
    ids=["nothing", "long", "recipient"],
)
def test_what_is_no_identity_is_refused(text: str) -> None:
    with pytest.raises(IdentityInvalid):
        parse_identity(text)


def test_a_recipient_of_low_order_is_refused() -> None:
    with pytest.raises(RecipientInvalid):
        X25519Recipient(bytes(32)).wrap(FILE_KEY, os.urandom)
    public = bech32.decode(HYBRID.recipient)[1]
    with pytest.raises(RecipientInvalid):
        HybridRecipient(public[:-32] + bytes(32)).wrap(FILE_KEY, os.urandom)


def test_a_recipient_that_is_no_reduced_mlkem_key_is_refused() -> None:
    public = bech32.decode(HYBRID.recipient)[1]
    with pytest.raises(RecipientInvalid):
        HybridRecipient(b"\xff" * 1184 + public[-32:]).wrap(FILE_KEY, os.urandom)


@given(st.binary(min_size=32, max_size=32))
def test_any_point_wraps_or_is_refused(public: bytes) -> None:
    with contextlib.suppress(RecipientInvalid):
        X25519Recipient(public).wrap(FILE_KEY, os.urandom)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=1088, max_size=1120))
def test_any_stanza_opens_not_or_is_refused(share: bytes, encapsulation: bytes) -> None:
    for identity, kind, argument in (
        (CLASSICAL, "X25519", share),
        (HYBRID, "mlkem768x25519", encapsulation),
    ):
        with contextlib.suppress(HeaderInvalid):
            assert identity.unwrap(Stanza(kind, (encode_base64(argument),), bytes(32))) is None
