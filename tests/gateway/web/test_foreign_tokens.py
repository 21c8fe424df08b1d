"""One gateway that trusts six makers' issuers, over HTTP: their tokens, and attacks on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.identity.records import Client, Tenant
from tests.gateway.identity.attacks import ATTACKS
from tests.gateway.identity.fakes import NOW
from tests.gateway.identity.makers import MAKERS, MakerHouse
from tests.gateway.place import ENVIRONMENT, Place, found_folder, served_place
from tests.ports import free_port

EACH = pytest.mark.parametrize("kind", [maker.kind for maker in MAKERS])
ECHOED = 12
"""Characters of a token that would be found again in an answer."""


@pytest.fixture(scope="module")
def houses() -> Iterator[dict[str, MakerHouse]]:
    made = {maker.kind: MakerHouse(maker) for maker in MAKERS}
    with ExitStack() as stack:
        for house in made.values():
            stack.enter_context(house.running())
        yield made


@pytest.fixture(scope="module")
def place(
    houses: dict[str, MakerHouse], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("trusting")
    found_folder(folder / "data", free_port(), {})
    write_issuers(folder / "data/sealgate.toml", houses)
    at_that_time = replace(ENVIRONMENT, clock=lambda: NOW)
    with served_place(folder, environment=at_that_time) as place:
        stores, state = place.foundation.stores, place.foundation.revocation_state
        stores.tenants.add(Tenant("north", "North", "eu", False, frozenset({"care"})))
        stores.clients.add(
            Client(
                "service",
                "north",
                "a client",
                roles=frozenset({"caller"}),
                scopes=frozenset({"infer"}),
                jwks={"keys": []},
                token_binding="none",
            )
        )
        state.changed()
        yield place


def write_issuers(path: Path, houses: dict[str, MakerHouse]) -> None:
    with path.open("a") as file:
        for kind, house in houses.items():
            lines = house.maker.toml.replace("BASE", house.server.url)
            file.write(f'\n[[issuers]]\nname = "{kind}"\n{lines}\n')
            if kind == "rfc9068":
                file.write('algorithms = ["RS256", "PS256"]\n')


def whoami(place: Place, token: bytes) -> httpx.Response:
    headers = [(b"authorization", b"Bearer " + token)]
    with httpx.Client(trust_env=False) as client:
        return client.get(f"{place.url}/v1/whoami", headers=headers)


@EACH
def test_issue_8_3_one_gateway_takes_the_tokens_of_all(
    place: Place, houses: dict[str, MakerHouse], kind: str
) -> None:
    answer = whoami(place, houses[kind].token())
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["issuer"], told["client_id"], told["tenant"]) == (
        houses[kind].issuer,
        "service",
        "north",
    )


@EACH
def test_every_attack_is_a_401_that_repeats_nothing(
    place: Place, houses: dict[str, MakerHouse], kind: str
) -> None:
    for name, attack in ATTACKS.items():
        token = attack(houses[kind])
        if not token.isascii() or b"\n" in token:
            continue
        answer = whoami(place, token)
        assert answer.status_code in {401, 431}, (name, answer.status_code)
        if answer.status_code == 401:
            assert answer.json()["type"].endswith("/invalid-token"), name
            assert answer.json()["detail"].startswith("the access token"), name
        told = answer.text + str(answer.headers)
        assert token[-ECHOED:].decode() not in told, name
