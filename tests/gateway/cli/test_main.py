from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from gateway.cli import main
from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import sealgate

PROBE = """
import sys
from gateway.cli.main import invoke
assert invoke(["--help"]) == 0
loaded = {name.split(".")[0] for name in sys.modules}
heavy = {"fastapi", "sqlalchemy", "onnxruntime", "numpy", "httpx", "cedarpy", "flwr"} & loaded
assert not heavy, heavy
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in main.GROUPS)


@pytest.mark.parametrize("name", sorted({*main.GROUPS} - {"demo"}))
def test_every_group_has_help(name: str) -> None:
    shown = sealgate(name, "--help")
    assert shown.code == 0
    assert "Usage: sealgate" in shown.out


def test_each_command_ends_its_help_with_an_example_and_the_next_step() -> None:
    for group in ("model", "audit", "subject", "policy", "tenant", "client", "federation"):
        command = main._load(group)
        for verb, one in command.commands.items():  # type: ignore[attr-defined]
            if verb == "simulate":
                continue  # added by the federated package
            assert "Example: " in (one.help or ""), (group, verb)
            assert "Next: " in (one.help or ""), (group, verb)


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
