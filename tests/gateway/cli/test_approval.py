"""An operator asks for two people: one orders, the other agrees, by commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.cli.test_four_eyes import client
from tests.gateway.place import Place, served_place

ADMINISTRATOR = ("--tenant", "platform", "--role", "administrator", "--scope", "admin")
ROTATE = ("keys", "rotate", "log", "clinic", "--confirm", "clinic")


@pytest.fixture(scope="module")
def duo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Path, Path]]:
    """A gateway with two administrators, who have to agree on keys of logs."""
    folder = tmp_path_factory.mktemp("duo")
    with served_place(folder, four_eyes=["rotate_log_key"]) as place:
        place.tenant("clinic")
        second = client(place, "second", *ADMINISTRATOR)
        yield place, place.folder / "data" / "admin.json", second


def number(profile: Path) -> int:
    listed = sealgate("keys", "list", "--tenant", "clinic", "--profile", profile, "--json").json
    return int(next(key["number"] for key in listed if key["kind"] == "log"))


def asked(profile: Path, *more: str) -> Said:
    said = sealgate(*ROTATE, "--profile", profile, *more)
    assert said.code == ExitCode.WAITING, said.err
    return said


def test_the_first_is_told_what_the_second_has_to_do_and_that_does_it(
    duo: tuple[Place, Path, Path],
) -> None:
    _, first, second = duo
    before = number(first)
    waiting = asked(first)
    [command] = [
        line.partition("agrees: ")[2] for line in waiting.err.splitlines() if "agrees: " in line
    ]
    assert number(first) == before
    words = command.split()[1:]
    own = sealgate(*words, "--profile", first, "--json")
    assert (own.code, json.loads(own.err)["policy_ids"]) == (
        ExitCode.DENIED,
        ["platform-four-eyes-administer"],
    )
    listed = sealgate("approval", "list", "--profile", second, "--json").json
    assert [one["approval"] for one in listed] == [words[2]]
    done = sealgate(*words, "--profile", second)
    assert done.code == ExitCode.OK, done.err
    assert number(first) == before + 1
    assert sealgate(*words, "--profile", second).code == ExitCode.NOT_FOUND


def test_nobody_agrees_without_the_hash_or_to_another_one(
    duo: tuple[Place, Path, Path],
) -> None:
    _, first, second = duo
    waiting = asked(first, "--json").json
    grant = ("approval", "grant", waiting["approval"], "--profile", second, "--json")
    bare, wrong = sealgate(*grant), sealgate(*grant, "--sha256", "0" * 64)
    assert (bare.code, wrong.code) == (ExitCode.USAGE, ExitCode.UNVERIFIED)
    assert waiting["sha256"] in json.loads(bare.err)["detail"]
    planned = sealgate(*grant, "--sha256", waiting["sha256"], "--plan")
    assert planned.json["would"] == "agree to rotate_key"
    shown = sealgate("approval", "show", waiting["approval"], "--profile", second, "--json").json
    assert shown["request"]["tenant"] == "clinic"
    gone = sealgate("approval", "withdraw", waiting["approval"], "--profile", second, "--json")
    assert gone.json == {"approval": waiting["approval"], "withdrawn": True}
    assert sealgate(*grant, "--sha256", waiting["sha256"]).code == ExitCode.NOT_FOUND


def test_people_of_a_tenant_see_nothing_that_waits(duo: tuple[Place, Path, Path]) -> None:
    place, first, _ = duo
    waiting = asked(first, "--json").json
    officer = place.profile("clinic", "officer")
    assert sealgate("approval", "list", "--profile", officer, "--json").json == []
    shown = sealgate("approval", "show", waiting["approval"], "--profile", officer)
    assert shown.code == ExitCode.NOT_FOUND
    sealgate("approval", "withdraw", waiting["approval"], "--profile", first)
