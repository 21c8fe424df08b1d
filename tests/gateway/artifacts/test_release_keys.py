"""Release keys that follow one another."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import release_key_id
from gateway.artifacts.release_document import verify
from gateway.artifacts.release_keys import (
    CLOCK_LEEWAY,
    MAX_SUCCESSIONS,
    Chain,
    ReleaseRing,
    SignedSuccession,
    merged,
    parse_chain,
    parse_succession,
    sign_succession,
)
from gateway.artifacts.signature import LinkStatement, sign_link
from gateway.artifacts.trust import accepting, following
from tests.gateway.artifacts.publisher import NOW, Tenant

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in range(1, 6)]
IDS = [release_key_id(key.public_key()) for key in KEYS]
CHAIN = tuple(
    sign_succession("clinic", number + 2, KEYS[number], KEYS[number + 1], 100 * (number + 1))
    for number in range(3)
)
"""Four keys: the first was replaced at 100, the second at 200, the third at 300."""
THIEF = KEYS[4]


def link(key: Ed25519PrivateKey, created: int) -> bytes:
    statement = LinkStatement(
        tenant="clinic", model="m", version="1", manifest="a" * 64, owner="b" * 64,
        payloads={"graph": "c" * 64}, created=created,
    )  # fmt: skip
    return sign_link(key, statement)


@pytest.mark.parametrize("pinned", IDS[:4])
def test_who_trusts_any_key_of_a_chain_knows_all_of_it(pinned: str) -> None:
    ring = ReleaseRing.of(pinned, "clinic", CHAIN)
    assert (ring.newest, ring.former) == (IDS[3], (IDS[2], IDS[1], IDS[0]))
    for number, key in enumerate(KEYS[:4]):
        assert ring.verify(link(key, 100 * number + 50)).created == 100 * number + 50


def test_a_key_signs_nothing_after_it_was_replaced() -> None:
    ring = ReleaseRing.of(IDS[0], "clinic", CHAIN[:1])
    assert ring.verify(link(KEYS[0], 100 + CLOCK_LEEWAY))
    with pytest.raises(StatementInvalid, match="replaced before"):
        ring.verify(link(KEYS[0], 101 + CLOCK_LEEWAY))


def test_a_key_that_nothing_names_is_not_followed() -> None:
    ring = ReleaseRing.of(IDS[0], "clinic", CHAIN)
    with pytest.raises(StatementInvalid, match="not signed by this key"):
        ring.verify(link(THIEF, 50))
    with pytest.raises(StatementInvalid, match="do not begin"):
        ReleaseRing.of(release_key_id(THIEF.public_key()), "clinic", CHAIN)


@pytest.mark.parametrize(
    "chain",
    [
        (CHAIN[0], CHAIN[2]),
        (CHAIN[1], CHAIN[0]),
        (CHAIN[0], CHAIN[0]),
        (msgspec.structs.replace(CHAIN[0], by_before=bytes(64)),),
        (msgspec.structs.replace(CHAIN[0], by_after=bytes(64)),),
        (msgspec.structs.replace(CHAIN[0], by_after=CHAIN[0].by_before),),
        (CHAIN[0], sign_succession("clinic", 4, KEYS[1], KEYS[2], 200)),
        (sign_succession("bank", 2, KEYS[0], KEYS[1], 100),),
    ],
    ids=["gap", "order", "twice", "old", "new", "one hand", "number", "another tenant"],
)
def test_what_is_no_chain_is_refused(chain: tuple[SignedSuccession, ...]) -> None:
    with pytest.raises(StatementInvalid):
        ReleaseRing.of(IDS[0], "clinic", chain)


def test_a_statement_that_one_key_alone_signed_is_worth_nothing() -> None:
    """Whoever has a new key can say whom it follows, and whoever lost an old one who follows."""
    true = CHAIN[0].statement
    forged = msgspec.structs.replace(true, after=release_key_id(THIEF.public_key()))
    other = sign_succession("clinic", 2, THIEF, THIEF, 100)
    for by_before, by_after in (
        (CHAIN[0].by_before, other.by_after),
        (other.by_before, other.by_after),
    ):
        one = SignedSuccession(statement=forged, by_before=by_before, by_after=by_after)
        with pytest.raises(StatementInvalid):
            ReleaseRing.of(IDS[0], "clinic", (one,))


def test_a_second_key_of_one_number_is_told_apart_from_the_first() -> None:
    """Who stole the old key names another successor to a partner who knows the true one."""
    fork = sign_succession("clinic", 2, KEYS[0], THIEF, 90)
    assert merged(CHAIN[:1], CHAIN) == CHAIN
    assert merged(CHAIN, CHAIN[:1]) == CHAIN
    with pytest.raises(StatementInvalid, match="another one than you know"):
        merged(CHAIN, (fork,))


def test_a_chain_is_bounded() -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(MAX_SUCCESSIONS + 2)]
    chain = [
        sign_succession("clinic", number + 2, keys[number], keys[number + 1], 1)
        for number in range(MAX_SUCCESSIONS + 1)
    ]
    pinned = release_key_id(keys[0].public_key())
    assert len(ReleaseRing.of(pinned, "clinic", chain[:-1]).keys) == MAX_SUCCESSIONS + 1
    with pytest.raises(StatementInvalid, match="too many"):
        ReleaseRing.of(pinned, "clinic", chain)
    data = Chain(tenant="clinic", successions=tuple(chain[:-1])).encode()
    assert parse_chain(data).successions == tuple(chain[:-1])


@given(st.binary(max_size=300) | st.sampled_from([CHAIN[0].encode() + b" ", b"{}", b"\n"]))
def test_bytes_of_anybody_give_a_refusal(data: bytes) -> None:
    for parse in (parse_succession, parse_chain):
        with pytest.raises(StatementInvalid):
            parse(data)


# What a partner keeps.

FIRST = Tenant("clinic", KEYS[0])
AT = NOW - 500
TRUE = sign_succession("clinic", 2, KEYS[0], KEYS[1], AT)
SECOND = Tenant("clinic", KEYS[1], FIRST.owner_key)


def test_a_pin_advances_and_what_each_key_released_verifies() -> None:
    record = following(accepting(FIRST.kit(), NOW), (TRUE,))
    assert record.ring().newest == IDS[1]
    for tenant, created in ((FIRST, AT - 1), (SECOND, AT + 1)):
        document = tenant.publish(created=created).document
        assert verify(document, record.kit, now=NOW, ring=record.ring())


def test_a_document_that_brings_the_chain_verifies_with_the_kit_of_before_and_of_after() -> None:
    for tenant, created in ((FIRST, AT - 1), (SECOND, AT + 1)):
        bare = tenant.publish(created=created).document
        document = msgspec.structs.replace(bare, successions=(TRUE,))
        for kit in (FIRST.kit(), SECOND.kit()):
            assert verify(document, kit, now=NOW)


def test_a_key_that_was_replaced_comes_back_by_no_kit() -> None:
    record = following(accepting(FIRST.kit(), NOW), (TRUE,))
    for old in (FIRST.kit(created=NOW + 1), replace(FIRST).kit(created=NOW + 9)):
        with pytest.raises(StatementInvalid, match="another one has replaced"):
            accepting(old, NOW, record)
    same = accepting(SECOND.kit(created=NOW + 1), NOW, record)
    assert same.ring().former == (IDS[0],)


def test_after_a_loss_a_kit_begins_anew_and_the_lost_keys_stay_out() -> None:
    record = following(accepting(FIRST.kit(), NOW), (TRUE,))
    fresh = Tenant("clinic", KEYS[2], FIRST.owner_key)
    anew = accepting(fresh.kit(created=NOW + 1), NOW, record)
    assert (anew.ring().newest, anew.ring().former) == (IDS[2], ())
    assert set(anew.retired) == {IDS[0], IDS[1]}
    for lost in (FIRST, SECOND):
        with pytest.raises(StatementInvalid, match="another one has replaced"):
            accepting(lost.kit(created=NOW + 2), NOW, anew)
    with pytest.raises(StatementInvalid):
        following(anew, (TRUE,))
