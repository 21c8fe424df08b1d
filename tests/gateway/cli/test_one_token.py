"""Ten commands of a profile leave one token in the log, and no trace of it anywhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.ports import Filter
from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from tests.gateway.cli.command import sealgate
from tests.gateway.place import Place

HOUSE = "onetoken"


def issued(place: Place, client: str, action: str = "issueToken") -> int:
    """Count the records of the real log."""
    found = place.foundation.reader.search(HOUSE, Filter(action=action), limit=1000)
    return sum(entry.event.client_id == client for entry in found)


@pytest.fixture(params=["none", "dpop"])
def owner(place: Place, request: pytest.FixtureRequest) -> Path:
    place.tenant(HOUSE)
    role = "owner" if request.param == "none" else "convenor"
    return place.profile(HOUSE, role, token_binding=request.param, scopes=["models", "federate"])


def test_ten_commands_ask_for_one_token(place: Place, owner: Path) -> None:
    sealgate("logout", "--profile", owner)
    client = json.loads(owner.read_text())["client_id"]
    before = issued(place, client)
    for words in [("whoami",), ("model", "list")] * 5:
        said = sealgate(*words, "--profile", owner, "--json")
        assert said.code == ExitCode.OK, said.err
    assert issued(place, client) - before == 1


def test_a_body_that_can_be_sent_once_costs_no_token_of_its_own(place: Place, owner: Path) -> None:
    client = json.loads(owner.read_text())["client_id"]
    sealgate("whoami", "--profile", owner)
    before = issued(place, client)
    with connect(owner) as connection, pytest.raises(CommandFailed) as refused:
        connection.send("POST", "/v1/uploads", params={"model": "absent"}, content=iter([b"rows"]))
    assert refused.value.code != ExitCode.SIGN_IN
    assert issued(place, client) == before


def test_a_token_is_in_no_output_of_a_command(place: Place, owner: Path) -> None:
    said = [
        sealgate("whoami", "--profile", owner, "--json"),
        sealgate("whoami", "--profile", owner),
    ]
    with connect(owner) as connection:
        token = connection.headers("GET", "/v1/whoami")["authorization"].split()[1]
    assert not any(token in one.out + one.err for one in said)
    beside = owner.with_name(f".{owner.name}.token")
    assert token.encode() not in beside.read_bytes()


def test_logout_ends_it_here_and_at_the_gateway(place: Place, owner: Path) -> None:
    client = json.loads(owner.read_text())["client_id"]
    with connect(owner) as connection:
        connection.get("/v1/whoami")
        before = issued(place, client, "revokeToken")
        assert sealgate("logout", "--profile", owner, "--json").json == {"ended": True}
        assert not owner.with_name(f".{owner.name}.token").exists()
        assert issued(place, client, "revokeToken") > before
    again = sealgate("logout", "--profile", owner)
    assert (again.code, again.err) == (ExitCode.OK, "no token was kept\n")


def test_a_token_that_was_revoked_elsewhere_is_asked_for_anew(place: Place, owner: Path) -> None:
    client = json.loads(owner.read_text())["client_id"]
    sealgate("whoami", "--profile", owner)
    beside = owner.with_name(f".{owner.name}.token")
    kept = beside.read_bytes()
    sealgate("logout", "--profile", owner)
    beside.write_bytes(kept)
    beside.chmod(0o600)
    before = issued(place, client)
    assert sealgate("whoami", "--profile", owner).code == ExitCode.OK
    assert issued(place, client) - before == 1
    assert beside.read_bytes() != kept
    beside.write_bytes(kept)
    lines = sealgate("headers", "GET", "/v1/whoami", "--profile", owner)
    assert lines.code == ExitCode.OK
    assert _asks(place, lines.out) == 200, "also where another program sends the request"


def _asks(place: Place, headers: str) -> int:
    import httpx

    given: dict[str, Any] = dict(line.split(": ", 1) for line in headers.splitlines())
    return httpx.get(f"{place.url}/v1/whoami", headers=given).status_code
