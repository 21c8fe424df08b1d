"""Every command that a document shows runs, ends as it says, and shows what it says."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.docs.conftest import Demo
from tests.docs.console import Run, Skipped, Stop, Write, steps, unseen
from tests.docs.terminal import Terminal

ROOT: Final = Path(__file__).resolve().parents[2]
TUTORIALS: Final = sorted((ROOT / "docs/tutorials").glob("*.md"))
DOCUMENTS: Final = [ROOT / "README.md", *TUTORIALS]
NEEDS: Final = {"application-developer": ("tritonclient", "kserve"), "site-operator": ("flwr",)}
MARKS: Final = {
    "application-developer": pytest.mark.clients,
    "site-operator": pytest.mark.federated,
}


def marked(path: Path) -> object:
    mark = MARKS.get(path.stem)
    return pytest.param(path, id=path.stem, marks=[mark] if mark else [])


@pytest.mark.e2e
@pytest.mark.screening
@pytest.mark.parametrize("document", [marked(path) for path in DOCUMENTS])
def test_the_commands_do_what_the_document_says(document: Path, demo: Demo, tmp_path: Path) -> None:
    for package in NEEDS.get(document.stem, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**demo.environment, "PATH": path, "HOME": str(tmp_path)}
    with Terminal(demo.folder, tmp_path, environment) as terminal:
        for step in steps(there(document.read_text(), demo)):
            match step:
                case Write(name, text):
                    (demo.folder / name).write_text(text)
                case Run(stays=True):
                    terminal.start(step.command, step.shows)
                case Run(command, shows, code):
                    ended = terminal.run(command)
                    told = f"$ {command}\n{ended.output}"
                    assert ended.code == code, told
                    assert not unseen(shows, ended.output), told
                case Stop(command):
                    assert terminal.stop(command) in {0, 130}, command


def there(text: str, demo: Demo) -> str:
    """Put this demo's addresses in place of those that a reader's has."""
    for said, real in demo.addresses.items():
        text = text.replace(said, real)
    return text


def skipped() -> set[tuple[str, str]]:
    found = {(path.stem, step) for path in DOCUMENTS for step in steps(path.read_text())}
    return {(name, step.reason) for name, step in found if isinstance(step, Skipped)}
