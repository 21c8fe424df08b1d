"""Why a token of another issuer was refused is told to the operator, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from gateway.identity.errors import InvalidToken
from gateway.identity.foreign_refusals import TELL_SECONDS
from gateway.identity.token_rules import RULES
from gateway.process.issuer_metrics import IssuerMetrics

from .attacks import ATTACKS
from .makers import MAKERS, MakerHouse

RULE_NAMES = {rule.name for rule in RULES} | {"registration", "form"}
SECRETS = ("stranger", "thief", "ada-lovelace")


@pytest.fixture
def house() -> Iterator[MakerHouse]:
    keycloak = next(one for one in MAKERS if one.kind == "keycloak")
    with MakerHouse(keycloak).running() as running:
        yield running


def refused(house: MakerHouse, token: bytes) -> InvalidToken:
    with pytest.raises(InvalidToken) as caught:
        house.call(token)
    return caught.value


def test_a_line_names_issuer_rule_and_remedy_and_nothing_of_the_token(house: MakerHouse) -> None:
    with capture_logs() as lines:
        refused(house, house.token(azp="stranger", client_id="stranger", sub="ada-lovelace"))
    (line,) = [one for one in lines if one["event"] == "token_refused"]
    assert (line["issuer"], line["rule"], line["count"]) == (house.trust.name, "client", 1)
    assert "`clients`" in line["why"]
    assert line["next"]
    assert not any(secret in str(line) for secret in SECRETS)


def test_an_issuer_that_is_not_trusted_is_told_without_its_name(house: MakerHouse) -> None:
    with capture_logs() as lines:
        refused(house, house.token(iss="https://stranger.example"))
    assert [(one["issuer"], one["rule"]) for one in lines] == [("none", "issuer")]
    assert not any(secret in str(lines) for secret in SECRETS)


def test_a_flood_of_refusals_writes_a_line_for_each_rule_in_half_a_minute(
    house: MakerHouse,
) -> None:
    with capture_logs() as lines:
        for _ in range(3):
            for attack in ATTACKS.values():
                refused(house, attack(house))
    told = [(one["issuer"], one["rule"]) for one in lines if one["event"] == "token_refused"]
    assert len(told) == len(set(told))
    assert {rule for _, rule in told} <= RULE_NAMES
    house.world.clock.now += TELL_SECONDS
    with capture_logs() as lines:
        refused(house, house.token(aud="other"))
    (line,) = lines
    assert line["count"] > 3, "it says how many there were meanwhile"


def test_metrics_count_by_rule_and_hold_nothing_of_a_caller(house: MakerHouse) -> None:
    house.call(house.token())
    for attack in ATTACKS.values():
        refused(house, attack(house))
    registry = CollectorRegistry()
    registry.register(IssuerMetrics(house.world.issuers, house.world.authenticator.foreign))
    text = generate_latest(registry).decode()
    name = house.trust.name
    assert f'sealgate_issuer_key_fetches_total{{issuer="{name}",outcome="ok"}} 1.0' in text
    assert f'sealgate_issuer_keys_age_seconds{{issuer="{name}"}} 0.0' in text
    assert f'issuer="{name}",rule="signature"' in text
    assert not any(secret in text for secret in SECRETS)


def test_what_the_gateways_own_tokens_break_is_not_told_there(house: MakerHouse) -> None:
    with capture_logs() as lines:
        refused(house, house.world.forged(aud="other"))
    assert lines == []
