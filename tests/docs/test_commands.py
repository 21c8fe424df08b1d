"""Every command that a document shows runs, ends as it says, and shows what it says."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Final, TypeGuard

import pytest

from tests.docs.conftest import Demo
from tests.docs.console import Run, Skipped, Step, Stop, Write, steps, unseen
from tests.docs.leftovers import open_to_others, secrets_of, untracked
from tests.docs.tables import ROOT
from tests.docs.terminal import Terminal
from tests.gateway.cli.test_main import leaves
from tests.ports import free_port
from tests.tools import require_tool

TUTORIALS: Final = sorted(
    path for folder in ("tutorials", "operations") for path in (ROOT / "docs" / folder).glob("*.md")
)
MARKS: Final = {
    "application-developer": [pytest.mark.clients],
    "scikit-learn": [pytest.mark.convert],
    "site-operator": [pytest.mark.federated],
}
TOOLS: Final = {"other-languages": ("node", "curl"), "scikit-learn": ("curl",)}
NEEDS: Final = {
    "application-developer": ("tritonclient", "kserve"),
    "scikit-learn": ("skl2onnx", "onnxmltools"),
    "site-operator": ("flwr",),
}
MOST_COMMANDS: Final = 10
"""From an empty clone to the first prediction of one's own model, each typed once."""
NOT_RUN: Final = {
    ("compliance-officer", "the file is in the repository, not in the reader's folder"),
    ("upgrade", "a test installs no other release"),
    ("people", "a person types the code in a browser"),
    ("passkeys", "a person answers in a browser"),
}
"""Reasons for which a block may be shown and not run."""
BY_MAKE: Final = {"sealgate demo"}
"""Is what `make demo` starts, of which all pages presuppose that it is up."""
BY_PEOPLE: Final = {
    "sealgate approval grant": "gateway/cli/test_approval.py",
    "sealgate approval show": "gateway/cli/test_approval.py",
    "sealgate approval withdraw": "gateway/cli/test_approval.py",
    "sealgate login": "gateway/people/test_device.py",
    "sealgate profile list": "gateway/people/test_device.py",
    "sealgate profile use": "gateway/people/test_device.py",
}
"""Take a second person, or a browser, which no page has → the tests that have them."""


def play(step: Step, terminal: Terminal, folder: Path) -> None:
    """Do what a reader does at one step."""
    match step:
        case Write(name, text):
            (folder / name).write_text(text)
        case Run(command, shows, stays=True):
            terminal.start(command, shows)
        case Run(command, shows, code):
            ended = terminal.run(command)
            told = f"$ {command}\n{ended.output}"
            assert ended.code == code, told
            assert not unseen(shows, ended.output), told
        case Stop(command):
            assert terminal.stop(command) in {0, 130}, command


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """A reader's environment: the installed command, and nothing of who runs the tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), **more}


@pytest.mark.e2e
@pytest.mark.screening
@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=MARKS.get(path.stem, ())) for path in TUTORIALS]
)
def test_the_commands_of_a_tutorial(path: Path, demo: Demo, tmp_path: Path) -> None:
    for tool in TOOLS.get(path.stem, ()):
        require_tool(tool)
    for package in NEEDS.get(path.stem, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    text = path.read_text()
    for said, real in demo.addresses.items():
        text = text.replace(said, real)
    with Terminal(demo.folder, tmp_path, environment_of(tmp_path, **demo.environment)) as terminal:
        for step in steps(text):
            play(step, terminal, demo.folder)
    assert untracked(demo.folder, tmp_path / "git") == set()
    assert open_to_others(demo.folder, secrets_of(demo)) == []


def test_the_first_prediction_of_ones_own_model_takes_fewer_than_ten_commands() -> None:
    text = (ROOT / "docs/tutorials/scikit-learn.md").read_text()
    before = ["make demo", ". .venv/bin/activate"]
    assert all(f"`{command}`" in text for command in before)
    typed = [step.command for step in steps(text) if isinstance(step, Run)]
    until = before + typed[: typed.index("python ask.py") + 1]
    assert len(until) < MOST_COMMANDS, until


@pytest.mark.e2e
def test_the_commands_of_the_projects_page(tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    ports = {f"SEALGATE_{door}PORT": str(free_port()) for door in ("", "OPERATIONS_", "SITES_")}
    around = environment_of(tmp_path, **ports, SEALGATE_FEDERATION="off")
    with Terminal(folder, tmp_path, around) as terminal:
        for step in of_the_projects_page():
            if isinstance(step, Run) and step.stays:
                step.shows.append('{"door": "public", …}')
            if not (isinstance(step, Run) and step.command.startswith("make ")):
                play(step, terminal, folder)
    assert untracked(folder, tmp_path / "git") == set()
    assert open_to_others(folder, ()) == []


def of_the_projects_page() -> list[Step]:
    return list(steps((ROOT / "README.md").read_text()))


def test_what_the_projects_page_makes_exists_and_continuous_integration_makes_it() -> None:
    text = (ROOT / "README.md").read_text()
    made = {step.command for step in of_the_projects_page() if isinstance(step, Run)}
    made |= {f"make {rest}" for rest in re.findall(r"`make ([a-z]+[^`]*)`", text)}
    made = {command for command in made if command.startswith("make ")}
    assert {"make demo", "make demo ARGS=--once", "make test"} <= made
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    assert {command.split()[1] for command in made} <= targets
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()


def test_every_command_there_is_is_run_by_a_page() -> None:
    pages = [*TUTORIALS, ROOT / "README.md"]
    shown = [step.command for page in pages for step in steps(page.read_text()) if is_run(step)]
    there = {" ".join(("sealgate", *words)) for words, _ in leaves()}
    run = {name for name in there if any(re.search(rf"\b{name}\b", one) for one in shown)}
    assert there - run == BY_MAKE | BY_PEOPLE.keys()


@pytest.mark.parametrize(("command", "module"), BY_PEOPLE.items())
def test_what_no_page_can_run_is_run_by_a_test(command: str, module: str) -> None:
    words = ", ".join(f'"{word}"' for word in command.split()[1:])
    assert words in (ROOT / "tests" / module).read_text()


def is_run(step: Step) -> TypeGuard[Run]:
    return isinstance(step, Run)


def test_nothing_is_left_out_for_another_reason() -> None:
    found = {(path.stem, step) for path in TUTORIALS for step in skipped(path)}
    found |= {("README", step) for step in skipped(ROOT / "README.md")}
    assert found == NOT_RUN


def skipped(path: Path) -> set[str]:
    return {step.reason for step in steps(path.read_text()) if isinstance(step, Skipped)}
