"""One client acts for another, and never with more than either has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.identity.authorization_server import TokenAnswer, TokenEvent
from gateway.identity.delegation import MAX_ACTORS
from gateway.identity.errors import InvalidToken, OAuthRefusal
from gateway.identity.principal import Principal
from gateway.identity.token_exchange import ACCESS_TOKEN, EXCHANGE

from .fakes import ED25519, NOW, URL, World, basic, proof

DELEGATE = "portal"


def place(**changes: Any) -> World:
    """A world with a client that may act for others, and one of another tenant that may."""
    world = World()
    common: dict[str, Any] = {
        "roles": frozenset({"delegate", "caller", "owner"}),
        "scopes": frozenset({"infer", "audit"}),
        "purposes": frozenset({"care", "research"}),
    }
    world.clients.add(replace(world.service, id=DELEGATE, **{**common, **changes}))
    for name in ("second", "third", "fourth"):
        world.clients.add(replace(world.service, id=name, **common))
    world.clients.add(replace(world.service, id="stranger", tenant="south", **common))
    return world


def exchange(world: World, token: str, by: str = DELEGATE, **form: str) -> TokenAnswer:
    fields = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        **form,
    }
    given = {name: value for name, value in fields.items() if value}
    return world.server.token_response(given, basic(by), None)


def error(answer: TokenAnswer) -> str:
    assert answer.refusal is not None
    assert answer.body == {}
    return answer.refusal.error


def passed_on(world: World, token: str, by: str = DELEGATE, **form: str) -> str:
    answer = exchange(world, token, by, **form)
    assert answer.refusal is None
    return str(answer.body["access_token"])


def call(world: World, token: str) -> Principal:
    bearer = f"Bearer {token}".encode()
    return asyncio.run(world.authenticator.authenticate(bearer, None, "GET", "/"))


def told(world: World, token: str) -> Any:
    return world.server.introspect({"token": token}, basic())


def test_a_delegate_acts_with_what_both_have_and_nothing_more() -> None:
    world = place()
    answer = exchange(world, world.bearer())
    assert answer.body["issued_token_type"] == ACCESS_TOKEN
    assert answer.body["scope"] == "infer"
    caller = call(world, str(answer.body["access_token"]))
    assert (caller.client_id, caller.subject, caller.acting_for) == (
        DELEGATE,
        "service",
        ("service",),
    )
    assert caller.roles == {"caller"}
    assert caller.scopes == {"infer"}
    assert caller.purposes == {"care"}
    assert told(world, str(answer.body["access_token"]))["act"] == {"sub": DELEGATE}


def test_it_is_recorded_for_whom_a_client_acts() -> None:
    world = place()
    answer = exchange(world, world.bearer())
    assert answer.event == TokenEvent(
        "issueToken", "north", DELEGATE, "allow", "ok", call_id(world, answer), "service"
    )


def call_id(world: World, answer: TokenAnswer) -> str:
    return call(world, str(answer.body["access_token"])).token_id


@pytest.mark.parametrize("scope", ["audit", "models", "infer audit", "admin"])
def test_more_scope_than_the_exchanged_token_has_is_refused(scope: str) -> None:
    world = place()
    assert error(exchange(world, world.bearer(), scope=scope)) == "invalid_scope"


def test_only_a_delegate_may() -> None:
    world = place(roles=frozenset({"caller", "administrator"}))
    answer = exchange(world, world.bearer())
    assert error(answer) == "unauthorized_client"
    assert answer.event is not None
    assert answer.event.outcome == "deny"
    assert error(exchange(world, world.bearer(), by="service")) == "unauthorized_client"


def bad_tokens(world: World) -> dict[str, str]:
    revoked, late = world.bearer(), world.forged(exp=int(NOW)).decode()
    claims = told(world, revoked)
    world.server.revoke(URL, claims["jti"], claims["exp"])
    stranger = world.clients.get("stranger")
    assert stranger is not None
    return {
        "nonsense": "a.b.c",
        "revoked": revoked,
        "expired": late,
        "of another tenant": world.minter.mint(stranger, frozenset({"infer"})).text,
        "of nobody": world.forged(client_id="nobody", sub="nobody").decode(),
        "of another subject": world.forged(sub="somebody").decode(),
        "with a chain of its own": world.forged(act={"sub": "service"}).decode(),
    }


@pytest.mark.parametrize("case", sorted(bad_tokens(place())))
def test_every_bad_subject_token_is_refused_in_the_same_words(case: str) -> None:
    world = place()
    answer = exchange(world, bad_tokens(world)[case])
    assert error(answer) == "invalid_request"
    assert answer.refusal is not None
    assert answer.refusal.public == "the subject token is not acceptable"


@pytest.mark.parametrize(
    "form",
    [{"subject_token": ""}, {"subject_token_type": ""}, {"subject_token_type": "urn:other"},
     {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
     {"actor_token": "x"}],
    ids=str,
)  # fmt: skip
def test_what_is_not_offered_is_refused(form: dict[str, str]) -> None:
    world = place()
    assert error(exchange(world, world.bearer(), **form)) == "invalid_request"


@pytest.mark.parametrize("field", ["audience", "resource"])
def test_the_audience_is_pinned(field: str) -> None:
    world = place()
    assert error(exchange(world, world.bearer(), **{field: "https://other.example"})) == (
        "invalid_target"
    )
    assert exchange(world, world.bearer(), **{field: URL + "/"}).refusal is None


def test_a_chain_names_all_who_acted_and_has_an_end() -> None:
    world = place()
    token = world.bearer()
    actors = [DELEGATE, "second", "third"][:MAX_ACTORS]
    for actor in actors:
        token = passed_on(world, token, actor)
    nested = told(world, token)["act"]
    assert nested == {"sub": "third", "act": {"sub": "second", "act": {"sub": DELEGATE}}}
    assert call(world, token).acting_for == ("service", "second", DELEGATE)
    assert error(exchange(world, token, "fourth")) == "invalid_request"


def test_a_chain_does_not_come_back() -> None:
    world = place()
    token = passed_on(world, world.bearer())
    assert error(exchange(world, token, DELEGATE)) == "invalid_request"
    second = passed_on(world, token, "second")
    assert error(exchange(world, second, DELEGATE)) == "invalid_request"


def test_it_ends_no_later_than_the_token_that_was_exchanged() -> None:
    world = place()
    token = world.bearer()
    world.clock.now = NOW + 200
    answer = exchange(world, token)
    assert answer.body["expires_in"] == 100
    assert call(world, str(answer.body["access_token"])).expires == int(NOW) + 300


@pytest.mark.parametrize("ended", ["service", DELEGATE, "tenant", "token", "second"])
def test_shutting_anyone_out_or_revoking_any_token_ends_it(ended: str) -> None:
    world = place()
    first = world.bearer()
    between = passed_on(world, first)
    token = passed_on(world, between, "second")
    caller = call(world, token)
    jti = told(world, first)["jti"]
    if ended == "token":
        world.revocation_state.revoke_token(URL, jti, int(NOW) + 300)
    elif ended == "tenant":
        tenant = world.tenants.get("north")
        assert tenant is not None
        world.revocation_state.save_tenant(replace(tenant, suspended=True))
    else:
        client = world.clients.get(ended)
        assert client is not None
        world.revocation_state.save_client(replace(client, disabled=True))
    with pytest.raises(InvalidToken):
        call(world, token)
    with pytest.raises(InvalidToken):
        asyncio.run(world.authenticator.reconfirm(caller))
    with pytest.raises(InvalidToken):
        world.revocation_state.confirm(caller)


@pytest.mark.parametrize("back", ["service", DELEGATE])
def test_letting_anyone_in_again_brings_no_token_back(back: str) -> None:
    world = place()
    between = passed_on(world, world.bearer())
    token = passed_on(world, between, "second")
    client = world.clients.get(back)
    assert client is not None
    world.revocation_state.save_client(replace(client, not_before=int(NOW) + 1))
    with pytest.raises(InvalidToken):
        call(world, token)
    assert error(exchange(world, between, "third")) == "invalid_request"


def test_a_client_that_is_let_in_again_this_very_second_is_acted_for() -> None:
    world = place()
    back = replace(world.service, not_before=int(NOW) + 1)
    world.revocation_state.save_client(back)
    fresh = world.minter.mint(back, frozenset({"infer"})).text
    assert call(world, passed_on(world, fresh)).acting_for == ("service",)


def test_a_caller_who_still_holds_is_confirmed() -> None:
    world = place()
    caller = call(world, passed_on(world, world.bearer()))
    asyncio.run(world.authenticator.reconfirm(caller))
    world.revocation_state.confirm(caller)


@pytest.mark.parametrize("lost", ["scopes", "purposes"])
def test_who_may_less_than_before_is_noticed_under_way(lost: str) -> None:
    world = place()
    caller = call(world, passed_on(world, world.bearer()))
    fewer: dict[str, Any] = {lost: frozenset(), "default_purpose": None}
    world.revocation_state.save_client(replace(world.service, **fewer))
    with pytest.raises(InvalidToken):
        world.revocation_state.confirm(caller)


def test_a_role_that_is_taken_away_is_gone_with_the_next_call() -> None:
    world = place()
    caller = call(world, token := passed_on(world, world.bearer()))
    world.revocation_state.save_client(replace(world.service, roles=frozenset({"officer"})))
    assert call(world, token).roles == frozenset()
    with pytest.raises(InvalidToken):
        world.revocation_state.confirm(caller)


def test_the_new_token_is_bound_as_the_acting_clients_are() -> None:
    world = place(token_binding="dpop")
    assert error(exchange(world, world.bearer())) == "invalid_dpop_proof"
    form = {
        "grant_type": EXCHANGE,
        "subject_token": world.bearer(),
        "subject_token_type": ACCESS_TOKEN,
    }
    made = proof(ED25519, "POST", URL + "/oauth/token")
    answer = world.server.token_response(form, basic(DELEGATE), made)
    assert answer.body["token_type"] == "DPoP"


ACTS: list[Any] = [
    None, "portal", {}, {"sub": 5}, {"sub": "service", "iss": URL}, {"sub": "other"},
    {"sub": "service", "act": None}, {"sub": "service", "act": {"sub": "a", "act": {"sub": "b",
     "act": {"sub": "c"}}}},
]  # fmt: skip


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_a_chain_that_is_not_ours_is_no_token(act: Any) -> None:
    world = place()
    with pytest.raises(InvalidToken):
        call(world, world.forged(act=act, sealgate_of=["x"]).decode())


def test_a_stranger_is_not_told_whether_a_token_is_good() -> None:
    world = place()
    with pytest.raises(OAuthRefusal) as refused:
        world.server.introspect({"token": world.bearer()}, basic("nobody"))
    assert refused.value.error == "invalid_client"
