"""Policies by commands: an earlier set comes back, and two administrators break the glass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from policies.compiled import starter_text
from tests.gateway.cli.command import sealgate
from tests.gateway.cli.test_four_eyes import client
from tests.gateway.place import Place, served_place

ADMINISTRATOR = ("--tenant", "platform", "--role", "administrator", "--scope", "admin")
MINE = starter_text() + '@id("mine") permit (principal, action, resource) when { context.solo };\n'


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Path]]:
    with served_place(tmp_path_factory.mktemp("ward")) as place:
        place.tenant("ward")
        place.profile("ward", "officer")
        yield place, place.profile("ward", "owner")


def test_a_locking_set_is_refused_with_what_to_do(ward: tuple[Place, Path], tmp_path: Path) -> None:
    _, owner = ward
    empty = tmp_path / "empty.cedar"
    empty.write_text("")
    said = sealgate("policy", "validate", empty, "--profile", owner)
    assert said.code == ExitCode.FAILED
    assert "managePolicy" in said.out
    refused = sealgate("policy", "publish", empty, "--profile", owner)
    assert refused.code == ExitCode.USAGE
    assert "managePolicy" in refused.err


def test_history_and_rollback(ward: tuple[Place, Path], tmp_path: Path) -> None:
    _, owner = ward
    mine = tmp_path / "mine.cedar"
    mine.write_text(MINE)
    assert sealgate("policy", "publish", mine, "--profile", owner).code == ExitCode.OK
    listed = sealgate("policy", "history", "--profile", owner, "--json").json
    first = listed[-2]["epoch"]
    shown = sealgate("policy", "show", "--epoch", str(first), "--profile", owner)
    assert shown.out == starter_text()
    planned = sealgate("policy", "rollback", "--profile", owner, "--plan", "--json")
    assert planned.json["would"] == "publish an earlier policy set once more"
    back = sealgate("policy", "rollback", "--profile", owner, "--json").json
    assert back["epoch"] == listed[-1]["epoch"] + 1
    assert sealgate("policy", "show", "--profile", owner).out == starter_text()
    for absent in (("rollback", "99"), ("show", "--epoch", "99")):
        said = sealgate("policy", *absent, "--profile", owner)
        assert (said.code, "policy history" in said.err) == (ExitCode.NOT_FOUND, True)


def test_what_administrators_name_wrongly_is_said(ward: tuple[Place, Path]) -> None:
    admin = ward[0].folder / "data" / "admin.json"
    for words, told in (
        (("keys", "rotate", "tenant", "nobody", "--confirm", "nobody"), "no tenant of this id"),
        (("keys", "list", "--tenant", "nobody"), "no tenant of this id"),
        (("approval", "show", "nothing"), "sealgate approval list"),
    ):
        said = sealgate(*words, "--profile", admin)
        assert (said.code, told in said.err) == (ExitCode.NOT_FOUND, True), said.err


def test_two_administrators_break_the_glass(ward: tuple[Place, Path]) -> None:
    place, owner = ward
    admin, second = place.folder / "data" / "admin.json", client(place, "second", *ADMINISTRATOR)
    rescue = ("policy", "rescue", "ward", "--confirm", "ward", "--profile", admin)
    assert sealgate(*rescue).code == ExitCode.FAILED
    place.foundation.author.publish("ward", '@id("s") forbid (principal, action, resource);', "x")
    assert sealgate("policy", "rollback", "--profile", owner).code == ExitCode.DENIED
    said = sealgate(*rescue)
    assert said.code == ExitCode.WAITING, said.err
    [command] = [
        line.partition("agrees: ")[2] for line in said.err.splitlines() if "agrees: " in line
    ]
    done = sealgate(*command.split()[1:], "--profile", second)
    assert done.code == ExitCode.OK, done.err
    assert sealgate("policy", "show", "--profile", owner).out == starter_text()


def test_a_rescue_that_helps_nobody_is_refused_when_it_is_asked_for(
    ward: tuple[Place, Path],
) -> None:
    place, _ = ward
    admin = place.folder / "data" / "admin.json"
    place.tenant("empty")
    said = sealgate("policy", "rescue", "empty", "--confirm", "empty", "--profile", admin)
    assert said.code == ExitCode.USAGE, said.err
    assert "register a client first" in said.err
    assert "empty" not in sealgate("approval", "list", "--profile", admin).out
