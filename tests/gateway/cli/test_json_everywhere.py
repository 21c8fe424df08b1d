"""`--json` on every command: one value on standard output, and an error as one on the other."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Final

import pytest

from gateway import cli
from gateway.cli import main
from gateway.cli.failures import OWN, PROBLEMS, ExitCode
from gateway.composition.first_steps import FirstSteps
from tests.docs.tables import ROOT, rows
from tests.gateway.cli.command import sealgate
from tests.gateway.cli.test_main import leaves
from tests.gateway.place import Place

WITHOUT: Final = {
    ("serve",): "runs until it is stopped; what it tells are lines of JSON on standard error",
    ("site", "run"): "runs until it is stopped; what it tells are lines of JSON on standard error",
}
"""Commands that print no result."""
HOUSE: Final = "jsonhouse"


def test_every_command_has_json_or_a_reason() -> None:
    lacking = {
        words
        for words, command in leaves()
        if not any("--json" in option.opts for option in command.params)
    }
    assert lacking == {words for words in WITHOUT if words[0] in {*main.GROUPS, *main._plugins()}}


def test_the_exceptions_are_told_in_the_reference() -> None:
    told = {row[0] for row in rows("command-line.md", "Commands without `--json`")}
    assert told == {f"sealgate {' '.join(words)}" for words in WITHOUT}


def test_the_exit_codes_are_told_in_the_reference() -> None:
    told = {row[0]: (row[1], row[2]) for row in rows("command-line.md", "Exit codes")}
    assert told == {
        str(int(code)): (code.name.lower().replace("_", "-"), told[str(int(code))][1])
        for code in ExitCode
    }


PRINTERS: Final = frozenset({"output.py", "failures.py"})


@pytest.mark.parametrize(
    "path", sorted(Path(cli.__path__[0]).glob("*.py")), ids=lambda path: path.name
)
def test_there_is_one_way_to_print(path: Path) -> None:
    printed = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "typer.echo"}
    ]
    assert path.name in PRINTERS or printed == []


@pytest.fixture(scope="module")
def profiles(place: Place) -> dict[str, Path]:
    place.tenant(HOUSE)
    found = {role: place.profile(HOUSE, role) for role in ("owner", "officer", "convenor")}
    return {**found, "admin": place.folder / "data" / "admin.json"}


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("owner", "whoami"),
        ("owner", "logout"),
        ("owner", "headers GET /v2"),
        ("owner", "model list"),
        ("owner", "model upload list"),
        ("owner", "policy show"),
        ("owner", "model create jsonmodel --no-personal"),
        ("owner", "model history jsonmodel"),
        ("officer", "audit search --limit 3"),
        ("officer", "audit key"),
        ("officer", "audit proof 0"),
        ("officer", "audit show 0"),
        ("convenor", "federation list"),
        ("admin", "tenant list"),
        ("admin", f"client list --tenant {HOUSE}"),
        (None, "artifact keygen"),
        (None, "artifact keygen -o {folder}/site.key"),
        (None, "model keygen --out {folder}/owner.key"),
        (None, "partner list --trust {folder}"),
        (None, "site keygen --out {folder}/node.key"),
    ],
)
def test_a_result_is_one_value_and_nothing_else_is_said(
    profiles: dict[str, Path], who: str | None, words: str, tmp_path: Path
) -> None:
    given = words.format(folder=tmp_path).split()
    said = sealgate(*given, *(("--profile", profiles[who]) if who else ()), "--json")
    assert (said.code, said.err) == (ExitCode.OK, "")
    assert isinstance(said.json, dict | list)


def test_a_following_is_one_value_a_line(profiles: dict[str, Path]) -> None:
    said = sealgate("audit", "tail", "-n", "3", "--profile", profiles["officer"], "--json")
    assert len([json.loads(line) for line in said.out.splitlines()]) == 3


@pytest.mark.parametrize(
    ("who", "words", "kind", "code"),
    [
        ("owner", "model show absent", f"{PROBLEMS}not-found", ExitCode.NOT_FOUND),
        ("owner", "audit search", f"{PROBLEMS}forbidden", ExitCode.DENIED),
        ("owner", "model retire m 1 --confirm 2", f"{OWN}usage", ExitCode.USAGE),
        (None, "whoami --profile /nowhere.json", f"{OWN}sign-in", ExitCode.SIGN_IN),
        (None, "model push", f"{OWN}usage", ExitCode.USAGE),
        (None, "nothing", f"{OWN}usage", ExitCode.USAGE),
        (None, "doctor --date x", f"{OWN}usage", ExitCode.USAGE),
        (None, "init --data /proc/1/x", f"{PROBLEMS}configuration", ExitCode.FAILED),
        (None, "site status --config /nowhere", f"{PROBLEMS}site-config-invalid", ExitCode.FAILED),
        (None, "partner show /nowhere", f"{OWN}failed", ExitCode.FAILED),
    ],
)
def test_an_error_is_one_value_with_the_problem_type(
    profiles: dict[str, Path], who: str | None, words: str, kind: str, code: ExitCode
) -> None:
    said = sealgate(*words.split(), *(("--profile", profiles[who]) if who else ()), "--json")
    assert (said.code, said.out) == (code, "")
    told = json.loads(said.err)
    assert (told["type"], told["exit"]) == (kind, code)
    assert told["title"]
    assert told["detail"]
    assert "next" in told


def test_the_page_is_on_the_way_of_the_types() -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text()
    assert OWN in page
    assert PROBLEMS in page


def test_each_command_of_the_first_page_is_one(place: Place) -> None:
    known = dict(leaves())
    lines = [
        line
        for step in FirstSteps(place.foundation)()
        for line in step.command.splitlines()
        if line.startswith("sealgate ")
    ]
    assert len(lines) > len(FirstSteps(place.foundation)())
    for line in lines:
        _, noun, verb, *rest = line.split()
        command = known[(noun,) if verb.startswith("-") else (noun, verb)]
        options = {name for option in command.params for name in option.opts}
        options |= {n for option in command.params for n in option.secondary_opts}
        assert {word for word in (verb, *rest) if word.startswith("--")} <= options, line
