from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import click
import pytest

from gateway.cli import main
from gateway.cli.failures import CommandFailed, ExitCode
from tests.gateway.cli.command import sealgate

PROBE = """
import sys
from gateway.cli.main import invoke
assert invoke(["--help"]) == 0
loaded = {name.split(".")[0] for name in sys.modules}
heavy = {"fastapi", "sqlalchemy", "onnxruntime", "numpy", "httpx", "cedarpy", "flwr"} & loaded
assert not heavy, heavy
"""


@pytest.mark.e2e
def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in main.GROUPS)


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and group there is, in the words that call it; those of plugins too."""
    for name in {*main.GROUPS, *main._plugins()}:
        try:
            waiting: list[tuple[tuple[str, ...], click.Command]] = [((name,), main._load(name))]
        except CommandFailed:
            continue  # its extra is not installed
        for words, one in waiting:
            yield words
            if isinstance(one, click.Group):
                waiting += [((*words, verb), under) for verb, under in one.commands.items()]


def test_there_are_commands_in_groups_and_by_themselves() -> None:
    assert {("model",), ("model", "push"), ("serve",)} <= set(commands())


@pytest.mark.parametrize("words", [(), *sorted(commands())], ids=" ".join)
def test_every_help_ends_with_an_example_and_the_next_step(words: tuple[str, ...]) -> None:
    shown = sealgate(*words, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert " ".join(("Usage: sealgate", *words)) in shown.out
    prose = re.split("^(?:╭|Options)", shown.out, maxsplit=1, flags=re.MULTILINE)[0]
    *_, example, following = re.split(r"\n\s*\n", prose.strip())
    assert example.strip().startswith("Example: ")
    assert following.strip().startswith("Next: ")


def leaves() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for words in commands():
        found: click.Command = main._load(words[0])
        for verb in words[1:]:
            assert isinstance(found, click.Group)
            found = found.commands[verb]
        if not isinstance(found, click.Group) or found.params:  # such a group does work itself
            yield words, found


def test_each_argument_and_option_is_explained() -> None:
    """Of arguments nothing was: a library had lost it."""
    dumb = [
        (words, one.name)
        for words, command in leaves()
        for one in command.params
        if not getattr(one, "help", "")
    ]
    assert dumb == []
    assert "Name of the model" in sealgate("model", "push", "--help").out


def test_a_command_without_arguments_and_h_show_help_and_are_no_error() -> None:
    for words in ([], ["model"], ["-h"], ["model", "push", "-h"]):
        shown = sealgate(*words)
        assert (shown.code, shown.err) == (0, ""), words
        assert "Usage: sealgate" in shown.out


def test_a_plugin_adds_to_our_group_and_cannot_replace_our_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugin = EntryPoint("model", "tests.gateway.cli.plugin:app", main.PLUGINS)
    other = EntryPoint("extra", "tests.gateway.cli.plugin:app", main.PLUGINS)
    missing = EntryPoint("gone", "tests.gateway.cli.absent:app", main.PLUGINS)
    found = {entry.name: entry for entry in (plugin, other, missing)}
    monkeypatch.setattr(main, "entry_points", lambda group: found.values())
    assert sealgate("model", "shine").out == "it shines\n"
    assert "plugin's list" not in sealgate("model", "list", "--help").out
    assert sealgate("extra", "shine").out == "it shines\n"
    absent = sealgate("gone", "shine")
    assert absent.code == ExitCode.USAGE
    assert "next: pip install" in absent.err


def test_errors_are_two_lines_or_one_object() -> None:
    said = sealgate("whoami", "--profile", "/nowhere.json")
    assert said.code == ExitCode.SIGN_IN
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["error", "next"]
    told = sealgate("whoami", "--profile", "/nowhere.json", "--json")
    assert json.loads(told.err)["detail"].startswith("there is no file")
    unknown = sealgate("nothing")
    assert (unknown.code, unknown.out) == (ExitCode.USAGE, "")


LESS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Absent())
from gateway.cli.main import run
run({words})
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("packages", "words", "extras"),
    [
        ({"flwr", "sklearn", "art"}, ["demo", "--once"], "federated,screening"),
        ({"flwr", "sklearn", "art"}, ["demo"], "federated,screening"),
    ],
)
def test_a_plain_installation_says_which_extra_is_wanted(
    packages: set[str], words: list[str], extras: str
) -> None:
    """It was a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", LESS.format(packages=packages, words=words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert f"pip install 'sealgate[{extras}]'" in done.stderr
    assert "Traceback" not in done.stderr
