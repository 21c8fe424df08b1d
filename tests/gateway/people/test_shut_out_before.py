"""What was in flight when a person or its tenant was suspended is worth nothing afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gateway.identity.people import SignIn
from gateway.people.tokens import CODE_GRANT, REFRESH_GRANT
from tests.gateway.parts import NOW, TENANT, House, house
from tests.gateway.people.homes import ADMINISTRATOR, TV, VERIFIER, Resident, given, moved_in


@pytest.fixture
def ada() -> Iterator[Resident]:
    with house() as home:
        yield moved_in(home)


def _tenant(home: House) -> None:
    for suspended in (True, False):
        home.use.administration.set_suspended(ADMINISTRATOR, TENANT, suspended=suspended)


def _person(ada: Resident) -> None:
    ada.suspend()
    ada.enable()


@pytest.mark.parametrize("shut_out_and_in", [_person, lambda ada: _tenant(ada.home)])
def test_what_was_let_in_before_gets_no_token_after(
    ada: Resident, shut_out_and_in: Callable[[Resident], None]
) -> None:
    device, code = ada.device(), ada.code(int(NOW))
    earlier = ada.code(int(NOW) - 1)
    begun = given(ada.ask(grant_type=CODE_GRANT, code=earlier, code_verifier=VERIFIER))
    refresh = str(begun["refresh_token"])
    shut_out_and_in(ada)
    asked = (
        ada.ask_for_device(device),
        ada.ask(grant_type=CODE_GRANT, code=code, code_verifier=VERIFIER),
        ada.ask(grant_type=REFRESH_GRANT, refresh_token=refresh),
    )
    assert [one.refusal and one.refusal.error for one in asked] == ["invalid_grant"] * 3
    assert ada.home.use.people.browsers.here(ada.browser) is None


def test_what_a_client_was_let_in_for_before_it_was_shut_out_is_no_use_to_it_after(
    ada: Resident,
) -> None:
    device, code = ada.device(), ada.code(int(NOW))
    ada.home.base.revocation_state.save_client(replace(TV, not_before=int(NOW) + 1))
    asked = (
        ada.ask_for_device(device),
        ada.ask(grant_type=CODE_GRANT, code=code, code_verifier=VERIFIER),
    )
    assert [one.refusal and one.refusal.error for one in asked] == ["invalid_grant"] * 2


def test_who_signs_in_within_the_second_of_the_admission_stays_signed_in(ada: Resident) -> None:
    _tenant(ada.home)
    signing_in = ada.home.use.people.signing_in
    browser = signing_in.with_password(
        TENANT,
        "ada@clinic.example",
        "correct horse battery staple",
        caller="192.0.2.1",
        request_id="request",
        instead="",
    )
    again = Resident(ada.home, ada.person, browser)
    sign_in: SignIn = again.here.sign_in
    assert sign_in.authenticated == int(NOW) + 1
    answer = given(again.ask_for_device(again.device()))
    assert answer["access_token"]


def test_who_is_shut_out_and_let_in_again_and_again_need_not_wait(ada: Resident) -> None:
    for _ in range(9):
        _tenant(ada.home)
    registered, _ = ada.home.base.revocation_state.look_up(ada.person.id)
    assert registered is not None
    assert registered.not_before == int(NOW) + 1, "a clock's leeway is five seconds"


def test_a_token_of_before_its_tenants_suspension_is_not_good_when_it_is_let_in_again(
    ada: Resident,
) -> None:
    state = ada.home.base.revocation_state
    robot = next(iter(ada.home.stores.clients.list(TENANT, None, 1)))
    assert robot.not_before == 0
    _tenant(ada.home)
    registered, tenant = state.look_up(robot.id)
    assert registered is not None
    assert tenant is not None
    assert not tenant.suspended
    assert registered.not_before == int(NOW) + 1, "those of this second are among them"
    stored = ada.home.stores.clients.get(robot.id)
    assert stored == robot, "the tenant's is kept with the tenant"
