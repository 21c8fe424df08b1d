from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytest

from gateway.errors import Forbidden, StateConflict
from gateway.registry.errors import IllegalMove
from gateway.registry.records import Model, ModelVersion, Release
from gateway.registry.releases import Releases
from tests.gateway.parts import TENANT, House, call, house

OWNER, SECOND = call("owner"), call("owner", client="second")


@dataclass
class Shop:
    home: House
    releases: Releases

    def add(self, version: str, state: str = "candidate") -> None:
        registry = self.home.stores.registry
        if registry.get_model(TENANT, "m") is None:
            registry.add_model(Model(TENANT, "m", False, "internal", frozenset(), 1, "c"))
        registry.add_version(
            ModelVersion(
                TENANT, "m", version, state, 1, OWNER.principal.client_id,  # type: ignore[arg-type]
                owner_bundle=b"{}", link=b"{}",
            )
        )  # fmt: skip


@pytest.fixture
def shop() -> Iterator[Shop]:
    with house() as home:
        yield Shop(home, home.use.releases)


def test_a_release_takes_two(shop: Shop) -> None:
    shop.add("1")
    with pytest.raises(Forbidden) as refused:
        shop.releases.promote(OWNER, "m", "1")
    assert "platform-four-eyes" in refused.value.policy_ids
    before = shop.home.revocation_state.epoch
    assert shop.releases.promote(SECOND, "m", "1").version == "1"
    assert shop.home.revocation_state.epoch > before, "what remembers routes must notice"


def test_who_acts_for_the_publisher_is_no_second_person(shop: Shop) -> None:
    """A service that had exchanged the publisher's token promoted what that one had published."""
    shop.add("1")
    publisher = OWNER.principal.client_id
    scoped = partial(replace, scopes=SECOND.principal.scopes)
    shop.home.revocation_state.change_client(TENANT, publisher, scoped)
    both = replace(SECOND.principal, purposes=frozenset(), acting_for=(publisher,))
    through = replace(SECOND, principal=both)
    with pytest.raises(Forbidden) as refused:
        shop.releases.promote(through, "m", "1")
    assert "platform-four-eyes" in refused.value.policy_ids


def test_a_roll_back_goes_to_what_was_released_before(shop: Shop) -> None:
    for version in ("1", "2", "3"):
        shop.add(version)
    with pytest.raises(IllegalMove):
        shop.releases.rollback(SECOND, "m", None)
    shop.releases.promote(SECOND, "m", "1")
    shop.releases.promote(SECOND, "m", "2")
    with pytest.raises(IllegalMove):
        shop.releases.rollback(SECOND, "m", "3")
    entry = shop.releases.rollback(SECOND, "m", None)
    assert (entry.version, entry.previous, entry.action) == ("1", "2", "rollback")
    history = shop.releases.history(SECOND, "m", after=0, limit=10)
    assert [(entry.sequence, entry.version) for entry in history] == [(1, "1"), (2, "2"), (3, "1")]


@pytest.mark.parametrize("state", ["quarantined", "rejected", "retired"])
def test_what_is_no_candidate_is_never_promoted(shop: Shop, state: str) -> None:
    shop.add("1", state)
    with pytest.raises(Forbidden) as refused:
        shop.releases.promote(SECOND, "m", "1")
    assert "platform-stage" in refused.value.policy_ids


def test_the_served_version_cannot_be_retired_or_promoted_again(shop: Shop) -> None:
    shop.add("1")
    shop.add("2")
    shop.releases.promote(SECOND, "m", "1")
    for move in (shop.releases.retire, shop.releases.promote):
        with pytest.raises(IllegalMove):
            move(SECOND, "m", "1")
    assert shop.releases.retire(SECOND, "m", "2").state == "retired"


def test_two_promotions_at_once_do_not_both_win(shop: Shop) -> None:
    shop.add("1")
    shop.add("2")
    registry = shop.home.stores.registry
    entry = Release(TENANT, "m", "1", None, "promote", "x", 1)
    registry.release(entry, expected=None)
    late = Release(TENANT, "m", "2", None, "promote", "y", 1)
    with pytest.raises(StateConflict):
        registry.release(late, expected=None)
    current = registry.current(TENANT, "m")
    assert current is not None
    assert current.version == "1"
