"""Tokens as six makers write them: each is accepted with five lines, and fits no other maker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.identity.errors import InvalidToken

from .fakes import NOW
from .makers import DIRECTORY, KEY, MAKERS, PERSON, WIDGET, MakerHouse

EACH = pytest.mark.parametrize("kind", [maker.kind for maker in MAKERS])


@pytest.fixture(scope="module")
def houses() -> Iterator[dict[str, MakerHouse]]:
    made = {maker.kind: MakerHouse(maker) for maker in MAKERS}
    running = [house.running() for house in made.values()]
    for one in running:
        one.__enter__()
    yield made
    for one in running:
        one.__exit__(None, None, None)


@EACH
def test_issue_8_3_the_token_of_a_client_is_accepted(
    houses: dict[str, MakerHouse], kind: str
) -> None:
    found = houses[kind].call(houses[kind].token())
    assert (found.client_id, found.tenant) == ("service", "north")
    assert found.scopes == {"infer"}
    assert found.roles == {"caller"}
    assert found.expires == int(NOW) + houses[kind].maker.life


@EACH
def test_issue_8_3_the_token_of_a_person_is_accepted(
    houses: dict[str, MakerHouse], kind: str
) -> None:
    house = houses[kind]
    found = house.call(house.token(**house.maker.person))
    assert (found.client_id, "infer" in found.scopes) == ("service", True)


@EACH
def test_five_lines_are_enough(kind: str) -> None:
    maker = next(one for one in MAKERS if one.kind == kind)
    assert len(maker.toml.strip().splitlines()) <= 5


@EACH
def test_a_token_fits_the_profile_of_its_maker_only(
    houses: dict[str, MakerHouse], kind: str
) -> None:
    """Written by one maker, under the address and audience of another."""
    written = houses[kind].maker
    for other in houses.values():
        if other.maker.kind == kind:
            continue
        claims = {**written.claims, "iss": other.issuer, "iat": int(NOW), "exp": int(NOW) + 300}
        if "aud" in claims:
            claims["aud"] = other.trust.audience
        with pytest.raises(InvalidToken):
            other.call(other.written(written.header, claims))


@EACH
def test_an_id_token_is_no_access_token(houses: dict[str, MakerHouse], kind: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        houses[kind].call(houses[kind].identity_token())
    assert refused.value.rule in {"type", "use", "client", "audience"}


@EACH
def test_an_id_token_for_an_audience_of_ours_is_no_access_token_either(
    houses: dict[str, MakerHouse], kind: str
) -> None:
    """The operator named a client's id as audience, or the API and the client are one."""
    house = houses[kind]
    header, claims = house.maker.identity
    times = {"iss": house.issuer, "iat": int(NOW), "exp": int(NOW) + 300}
    audience = house.maker.claims.get("aud", house.trust.audience)
    for aud in (audience, ["svc", house.trust.audience]):
        with pytest.raises(InvalidToken):
            house.call(house.written(header, {**times, **claims, "aud": aud}))


@EACH
def test_issue_8_3_an_issuers_clock_may_be_ten_seconds_ahead(
    houses: dict[str, MakerHouse], kind: str
) -> None:
    house, ahead = houses[kind], int(NOW) + 10
    assert house.call(house.token(iat=ahead, nbf=ahead, exp=ahead + 60, auth_time=ahead))
    with pytest.raises(InvalidToken) as refused:
        house.call(house.token(iat=int(NOW) + 31, nbf=int(NOW) + 31, exp=int(NOW) + 300))
    assert refused.value.rule == "times"


def test_issue_8_3_a_token_of_a_day_is_accepted_where_that_is_allowed() -> None:
    day = {"iat": int(NOW), "exp": int(NOW) + 86_400}
    okta = next(one for one in MAKERS if one.kind == "okta")
    for longest, accepted in ((3600, False), (86_400, True)):
        with MakerHouse(okta, max_token_seconds=longest).running() as house:
            if accepted:
                assert house.call(house.token(**day))
                continue
            with pytest.raises(InvalidToken) as refused:
                house.call(house.token(**day))
            assert refused.value.rule == "times"


def test_entra_of_version_1_is_accepted() -> None:
    entra = next(one for one in MAKERS if one.kind == "entra")
    with MakerHouse(replace(entra, path=f"/{DIRECTORY}/")).running() as house:
        house.trust = replace(house.trust, issuer=house.issuer)
        house.world.issuers.replace([house.trust])
        first = {"azp": ..., "azpacr": ..., "appid": "svc", "appidacr": "1", "ver": "1.0"}
        assert house.call(house.token(**first)).client_id == "service"
        assert house.call(house.token(**first, uti=...)).token_id.startswith("sha256.")


def test_keycloak_with_the_standard_type_needs_no_mark_but_heeds_it() -> None:
    keycloak = next(one for one in MAKERS if one.kind == "keycloak")
    with MakerHouse(keycloak).running() as house:
        typed = {"typ": "at+jwt"}
        assert house.call(house.token(typed, typ=...))
        assert house.call(house.token(typed, client_id=..., sub=...)).subject == "svc"
        others: list[Any] = ["ID", "Refresh", "Offline", "Logout", ["Bearer"], {}, None, 1]
        for use in others:
            with pytest.raises(InvalidToken) as refused:
                house.call(house.token(typed, typ=use))
            assert refused.value.rule == "use"


def test_a_token_without_an_id_is_known_by_a_digest_that_cannot_be_varied() -> None:
    auth0 = next(one for one in MAKERS if one.kind == "auth0")
    with MakerHouse(auth0).running() as house:
        first, again = house.call(house.token()), house.call(house.token())
        assert first.token_id == again.token_id
        assert house.call(house.token(sub="another@clients")).token_id != first.token_id
        house.world.revocation_state.revoke_token(house.issuer, first.token_id, first.expires)
        with pytest.raises(InvalidToken):
            house.call(house.token())


def test_cognito_may_name_an_audience_and_must_then_name_ours() -> None:
    cognito = next(one for one in MAKERS if one.kind == "cognito")
    with MakerHouse(cognito).running() as house:
        assert house.call(house.token(aud="gw"))
        for claims in ({"aud": "other"}, {"aud": None}, {"scope": "gateway/infer"}, {"scope": ...}):
            with pytest.raises(InvalidToken) as refused:
                house.call(house.token(**claims))
            assert refused.value.rule == "audience"


def test_who_a_token_is_for_is_the_person_and_not_the_pairwise_name() -> None:
    entra = next(one for one in MAKERS if one.kind == "entra")
    with MakerHouse(entra).running() as house:
        assert house.call(house.token(sub="pairwise")).subject == PERSON
        assert house.call(house.token(aud=[WIDGET])).subject == PERSON
        assert KEY.kid is None
