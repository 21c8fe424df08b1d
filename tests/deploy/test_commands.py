"""Every `sealgate …` that a document or a file of deploy/ names is a command with such options."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.lockfile import ROOT
from tests.deploy.test_compose import load

DOCUMENTS = ("SECURITY.md", "CONTRIBUTING.md", "docs/problems.md", "deploy/README.md")


def commands() -> Iterator[tuple[str, str]]:
    """Where a command stands, and its arguments."""
    for path in sorted((ROOT / "deploy/systemd").glob("*.service")):
        for line in re.findall(r"(?m)^ExecStart=\S+/sealgate (.+)$", path.read_text()):
            yield path.name, line
    for path in sorted((ROOT / "deploy").glob("*.Containerfile")):
        [given] = re.findall(r"(?m)^CMD (\[.+)$", path.read_text())
        yield path.name, shlex.join(json.loads(given))
    on_top = load("compose.federation.yaml")["services"]["gateway"]
    yield "compose.federation.yaml", shlex.join(on_top["command"])
    for name in DOCUMENTS:
        yield from ((name, line) for line in of_document(ROOT / name))


def of_document(path: Path) -> Iterator[str]:
    """Commands in code blocks and code spans; a container's name stands for the program too."""
    text = path.read_text()
    blocks = "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```", text)).replace("\\\n", " ")
    yield from re.findall(
        r"(?m)(?:bin/sealgate|run --rm.* gateway|sealgate-site) +([a-z].*)$", blocks
    )
    yield from re.findall(r"`sealgate ([^`…]+)", text)


@pytest.mark.filterwarnings("ignore:'click.utils:DeprecationWarning")  # typer's import of click
@pytest.mark.parametrize(("where", "line"), sorted(set(commands())))
def test_the_command_exists_and_takes_these_options(where: str, line: str) -> None:
    from gateway.cli.main import invoke

    # Arguments are parsed before the help is shown, so a wrong name or option is a usage error.
    assert invoke([*shlex.split(line), "--help"]) == 0, f"{where}: sealgate {line}"


def test_commands_were_found_everywhere() -> None:
    assert {where for where, _ in commands()} >= {
        "sealgate.service",
        "sealgate-site@.service",
        "gateway.Containerfile",
        "site.Containerfile",
        "deploy/README.md",
    }
