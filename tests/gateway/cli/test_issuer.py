"""`sealgate issuer`, over a real socket to an issuer of each maker."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.identity.makers import MAKERS, MakerHouse

EACH = pytest.mark.parametrize("kind", [maker.kind for maker in MAKERS])


def house_of(kind: str) -> MakerHouse:
    return MakerHouse(next(one for one in MAKERS if one.kind == kind))


@pytest.fixture(scope="module")
def houses() -> Iterator[dict[str, MakerHouse]]:
    made = {maker.kind: house_of(maker.kind) for maker in MAKERS}
    running = [house.running() for house in made.values()]
    for one in running:
        one.__enter__()
    yield made
    for one in running:
        one.__exit__(None, None, None)


def settings(folder: Path, *houses: MakerHouse, more: str = "") -> Path:
    lines = ['public_url = "http://127.0.0.1:8081"', 'audit_origin = "127.0.0.1"']
    for house in houses:
        said = house.maker.toml.replace("BASE", house.server.url)
        lines += ["[[issuers]]", f'name = "{house.maker.kind}"', said]
        if house.maker.kind == "rfc9068":
            lines.append('algorithms = ["RS256", "PS256"]')
    (folder / "sealgate.toml").write_text("\n".join([*lines, more]))
    return folder


def check(
    monkeypatch: pytest.MonkeyPatch, folder: Path, given: bytes, *words: str, as_json: bool = True
) -> Said:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    return sealgate("issuer", "check", *words, "--data", folder, *["--json"][: int(as_json)])


def states(said: Said) -> dict[str, str]:
    return {row["check"]: row["state"] for row in said.json}


def fresh(house: MakerHouse, **claims: Any) -> bytes:
    now = int(time.time())
    return house.token(**{"iat": now, "exp": now + 300, "auth_time": now, "nbf": now, **claims})


@EACH
def test_a_token_that_fits_meets_every_rule(
    houses: dict[str, MakerHouse], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings(tmp_path, houses[kind])
    said = check(monkeypatch, folder, fresh(houses[kind]))
    assert said.code == ExitCode.OK, said.out
    assert set(states(said).values()) == {"ok"}
    assert said.json[-1]["found"] == "service"


@EACH
def test_each_rule_that_a_token_breaks_is_told(
    houses: dict[str, MakerHouse], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = houses[kind]
    token = fresh(house, exp=5, iss="https://other.example/", **{house.maker.client: "stranger"})
    said = check(monkeypatch, settings(tmp_path, house), token)
    assert said.code == ExitCode.UNVERIFIED
    broken = {name for name, state in states(said).items() if state == "broken"}
    assert {"times", "issuer", "client"} <= broken
    assert states(said)["signature"] == "ok"
    assert all(row["what"] for row in said.json)


@EACH
def test_the_token_is_never_shown_nor_whom_it_is_for(
    houses: dict[str, MakerHouse], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = houses[kind]
    token = fresh(house, sub="ada-lovelace", oid="ada-lovelace", email="ada-lovelace@x.example")
    for given in (token, token[:-2], house.identity_token()):
        for as_json in (True, False):
            said = check(monkeypatch, settings(tmp_path, house), given, as_json=as_json)
            told = said.out + said.err
            assert "ada-lovelace" not in told
            assert not any(part in told for part in given.decode().split(".")[:3])


def test_a_token_may_come_in_several_forms(
    houses: dict[str, MakerHouse], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = houses["okta"]
    token = fresh(house)
    folder = settings(tmp_path, house)
    for given in (
        token + b"\n",
        b"Bearer " + token,
        b"authorization: Bearer " + token + b"\r\ndpop: x\r\n",
        json.dumps({"access_token": token.decode(), "token_type": "Bearer"}).encode(),
    ):
        assert check(monkeypatch, folder, given).code == ExitCode.OK
    assert check(monkeypatch, folder, b'{"id_token": "x"}').code == ExitCode.USAGE
    assert check(monkeypatch, folder, b"x" * 70_000).code == ExitCode.USAGE
    assert check(monkeypatch, folder, b"nonsense").code == ExitCode.UNVERIFIED


def test_without_a_token_discovery_and_keys_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house_of("keycloak").running() as house:
        good = json.loads(house.server.documents["/jwks.json"][2])["keys"][0]
        house.publish(good, {**good, "use": "enc", "kid": "k2", "alg": "RSA-OAEP"}, 5)
        said = check(monkeypatch, settings(tmp_path, house), b"")
    assert said.code == ExitCode.OK
    assert [(row["check"], row["what"]) for row in said.json][1:] == [
        ("key", "verifies RS256"),
        ("key", "left out: the key is for encryption, not for verifying"),
        ("key", "left out: the key is not acceptable"),
    ]


@pytest.mark.e2e
def test_an_empty_pipe_is_a_failure_of_the_command_before_it(
    houses: dict[str, MakerHouse], tmp_path: Path
) -> None:
    """`kcadm … | sealgate issuer check` ended with 0 where the first command had failed."""
    command = (sys.executable, "-P", "-m", "gateway", "issuer", "check", "--data")
    folder = settings(tmp_path, houses["keycloak"])
    done = subprocess.run([*command, folder], input=b"\n", capture_output=True, check=False)
    assert done.returncode == ExitCode.USAGE
    assert b"standard input is empty" in done.stderr
    assert b"< /dev/null" in done.stderr


@pytest.mark.parametrize(
    "document",
    [
        None,
        b"<html>sign in</html>",
        b'{"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}',
        b'{"jwks_uri": "http://169.254.169.254/keys"}',
        b" " * 300_000,
    ],
    ids=["absent", "html", "other", "inside", "huge"],
)
def test_an_issuer_that_cannot_be_had_is_told_apart_from_a_bad_token(
    document: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house_of("okta").running() as house:
        place = "/oauth2/default/.well-known/openid-configuration"
        if document is None:
            del house.server.documents[place]
        else:
            house.server.put(place, document)
        said = check(monkeypatch, settings(tmp_path, house), fresh(house))
    assert said.code == ExitCode.TRY_AGAIN
    assert states(said)["discovery"] == "unavailable"
    assert states(said)["signature"] == "unavailable"


def test_an_issuer_is_named_by_name_or_address_and_guessed_where_there_is_one(
    houses: dict[str, MakerHouse], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    okta, auth0 = houses["okta"], houses["auth0"]
    folder = settings(tmp_path, okta, auth0)
    for name in ("okta", okta.issuer):
        assert check(monkeypatch, folder, fresh(okta), name).code == ExitCode.OK
    assert check(monkeypatch, folder, b"").code == ExitCode.USAGE
    assert check(monkeypatch, folder, b"", "keycloak").code == ExitCode.NOT_FOUND
    assert check(monkeypatch, settings(tmp_path), b"").code == ExitCode.NOT_FOUND


def test_the_list_says_what_is_trusted(houses: dict[str, MakerHouse], tmp_path: Path) -> None:
    listed = sealgate("issuer", "list", "--data", settings(tmp_path, houses["entra"]), "--json")
    (row,) = listed.json
    assert (row["name"], row["clients"], row["tenants"]) == ("entra", {"svc": "service"}, ["north"])
    assert row["algorithms"] == ["RS256"]
    assert sealgate("issuer", "list", "--data", settings(tmp_path), "--json").json == []
