"""Changes that take two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytest

from gateway.authorization.approvals import LIFE, MAX_EACH
from gateway.authorization.records import Approval
from gateway.errors import Forbidden, LimitReached, NotFound, StateConflict
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house

FIRST, SECOND, THIRD = (call("administrator", "platform", name) for name in ("ann", "bob", "cay"))
LOG = f"log/test/{TENANT}"


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(clock: Clock) -> Iterator[House]:
    with house(clock=clock, four_eyes=("rotate_log_key", "rotate_token_key")) as made:
        for name in ("ann", "bob", "cay"):
            made.stores.clients.add(client_record(name, "platform", "administrator"))
        yield made


def ask(home: House) -> Approval:
    waits = home.use.key_orders.order(FIRST, "log", TENANT, None)
    assert waits is not None
    return waits


def number(home: House) -> int:
    return home.use.key_list.log(TENANT).number


def told(home: House) -> list[tuple[object, ...]]:
    fields = ("action", "outcome", "client_id", "resource", "input_commit")
    return [tuple(event.get(name) for name in fields) for event in home.events("platform")]


def test_the_second_person_makes_the_change_and_the_log_has_both(home: House) -> None:
    waits = ask(home)
    assert number(home) == 1
    home.use.approvals.grant(SECOND, waits.id, waits.digest)
    assert number(home) == 2
    about = f"Approval::{waits.id}"
    assert ("askApproval", "done", "ann", about, waits.digest) in told(home)
    assert ("grantApproval", "done", "bob", about, waits.digest) in told(home)
    rotated = ("administer", "done", "bob", f"Key::log/{TENANT}", waits.digest)
    assert rotated in told(home)


def test_whoever_asked_is_no_second_person_and_the_request_goes_on_waiting(home: House) -> None:
    waits = ask(home)
    with pytest.raises(Forbidden) as refused:
        home.use.approvals.grant(FIRST, waits.id, waits.digest)
    assert refused.value.policy_ids == ("platform-four-eyes-administer",)
    assert [one.id for one in home.use.approvals.waiting(FIRST)] == [waits.id]
    assert number(home) == 1


def test_alone_nobody_gets_round_it_by_the_use_case_itself(home: House) -> None:
    with pytest.raises(NotFound):
        home.use.keys.rotate_log(FIRST, TENANT)
    with pytest.raises(Forbidden):
        home.use.keys.rotate_token(FIRST)
    assert number(home) == 1


def test_what_the_operator_did_not_name_takes_one(home: House) -> None:
    assert home.use.key_orders.order(FIRST, "tenant", TENANT, None) is None
    assert home.base.keys.tenant_key(TENANT).version == 2


def test_what_is_agreed_to_is_what_was_asked_for(home: House) -> None:
    """Somebody who can write the database changes the request, and its id is agreed to."""
    waits = ask(home)
    home.stores.approvals.remove_approval("platform", waits.id)
    home.stores.approvals.add_approval(replace(waits, body=waits.body.replace(TENANT, "platform")))
    with pytest.raises(StateConflict):
        home.use.approvals.grant(SECOND, waits.id, waits.digest)
    assert number(home) == 1


def test_a_request_is_used_once(home: House) -> None:
    waits = ask(home)
    home.use.approvals.grant(SECOND, waits.id, waits.digest)
    with pytest.raises(NotFound):
        home.use.approvals.grant(THIRD, waits.id, waits.digest)
    assert number(home) == 2


def test_of_two_requests_for_one_key_the_second_finds_another_key(home: House) -> None:
    one, other = ask(home), ask(home)
    home.use.approvals.grant(SECOND, one.id, one.digest)
    with pytest.raises(StateConflict):
        home.use.approvals.grant(SECOND, other.id, other.digest)
    assert number(home) == 2


def test_a_request_is_nothing_after_its_time(home: House, clock: Clock) -> None:
    waits = ask(home)
    clock.now += LIFE
    with pytest.raises(NotFound):
        home.use.approvals.grant(SECOND, waits.id, waits.digest)
    assert home.use.approvals.waiting(SECOND) == []
    ask(home)  # which forgets it
    left = home.stores.approvals.list_approvals("platform", after="", limit=9)
    assert waits.id not in [one.id for one in left]


def test_who_was_shut_out_since_asks_for_nothing(home: House) -> None:
    waits = ask(home)
    home.revocation_state.change_client("platform", "ann", lambda one: replace(one, disabled=True))
    with pytest.raises(StateConflict):
        home.use.approvals.grant(SECOND, waits.id, waits.digest)


def test_who_may_not_ask_any_more_is_no_first_person(home: House) -> None:
    """Whoever agrees would be the only one who may."""
    waits = ask(home)
    no_more = partial(replace, roles=frozenset({"officer"}))
    home.revocation_state.change_client("platform", "ann", no_more)
    with pytest.raises(StateConflict):
        home.use.approvals.grant(SECOND, waits.id, waits.digest)
    assert number(home) == 1


def test_who_acts_for_another_is_nobody_else(home: House) -> None:
    """Whoever asked agreed once more, through a service that exchanged its token."""
    waits = ask(home)
    for whom in ("ann", "cay"):
        both = replace(SECOND.principal, purposes=frozenset(), acting_for=(whom,))
        through = replace(SECOND, principal=both)
        with pytest.raises(StateConflict):
            home.use.approvals.grant(through, waits.id, waits.digest)
        with pytest.raises(StateConflict):
            home.use.key_orders.order(through, "log", TENANT, None)
    assert number(home) == 1
    assert [one.id for one in home.use.approvals.waiting(SECOND)] == [waits.id]


def test_a_request_that_was_withdrawn_cannot_be_agreed_to(home: House) -> None:
    waits = ask(home)
    home.use.approvals.withdraw(SECOND, waits.id)
    with pytest.raises(NotFound):
        home.use.approvals.grant(THIRD, waits.id, waits.digest)
    assert told(home)[-1][:3] == ("withdrawApproval", "done", "bob")


@pytest.mark.parametrize("who", [call("owner"), call("officer"), call("owner", "platform")])
def test_others_neither_see_nor_agree_nor_ask(home: House, who: object) -> None:
    waits, approvals = ask(home), home.use.approvals
    assert approvals.waiting(who) == []  # type: ignore[arg-type]
    for act in (
        lambda: approvals.find(who, waits.id),  # type: ignore[arg-type]
        lambda: approvals.grant(who, waits.id, waits.digest),  # type: ignore[arg-type]
        lambda: approvals.withdraw(who, waits.id),  # type: ignore[arg-type]
    ):
        with pytest.raises(NotFound):
            act()
    with pytest.raises((NotFound, Forbidden)):
        home.use.key_orders.order(who, "log", TENANT, None)  # type: ignore[arg-type]


def test_one_client_cannot_take_the_places_of_others(home: House) -> None:
    for _ in range(MAX_EACH):
        ask(home)
    with pytest.raises(LimitReached):
        ask(home)
    assert home.use.key_orders.order(SECOND, "log", TENANT, None) is not None


def test_an_order_that_is_not_possible_waits_for_nobody(home: House) -> None:
    with pytest.raises(NotFound):
        home.use.key_orders.order(FIRST, "log", "nobody", None)
    assert home.use.approvals.waiting(FIRST) == []
