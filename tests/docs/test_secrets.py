"""What pages show may be typed as it stands: no secret is an argument, and git keeps out of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.docs.leftovers import open_to_others, untracked
from tests.docs.tables import ROOT
from tests.tools import require_tool

PAGES: Final = [
    *ROOT.glob("*.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
ARGUMENT: Final = re.compile(
    r"""
    \b(Bearer|DPoP|Basic)[ ]                     # a token in a header
    | \$\{?\w*(TOKEN|SECRET|PASSWORD|PASSWD)\w*   # a variable is expanded before the command starts
    | \$\((cat|<)[^)]*(secret|token|\.key)         # so is what a command prints
    | (^|\s)(-u|--user)[ ]\S+:                    # curl: user and password
    | (client_secret|access_token|password)=\S
    | --(secret|token|password)[ =]\S
    """,
    re.VERBOSE | re.IGNORECASE,
)
TELLING: Final = (
    'curl -u "app:$SECRET" http://127.0.0.1/oauth/token',
    "curl -u app:hunter2 http://127.0.0.1/oauth/token",
    'curl -H "Authorization: Bearer $T" http://127.0.0.1/v2',
    'python ask.py "$TOKEN"',
    "SECRET=$(cat app.secret)",
    "app --key=$(<owner.key)",
    "curl -d client_secret=abc http://127.0.0.1/oauth/token",
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_has_a_secret_on_a_command_line(path: Path) -> None:
    blocks = re.findall(r"(?ms)^```(?:console|sh|bash|shell)\n(.*?)^```$", path.read_text())
    shown = "\n".join(blocks).splitlines()
    assert [line for line in shown if ARGUMENT.search(line)] == []


@pytest.mark.parametrize("command", TELLING)
def test_a_secret_on_a_command_line_would_be_seen(command: str) -> None:
    assert ARGUMENT.search(command)


@pytest.mark.e2e
def test_what_belongs_to_the_repository_is_not_ignored(tmp_path: Path) -> None:
    git = require_tool("git")
    names = {path.name for path in ROOT.iterdir() if path.name in _kept()}
    assert names == _kept()
    for name in _kept():
        made = tmp_path / "clone" / name
        if (ROOT / name).is_dir():
            made.mkdir(parents=True)
            made /= "file"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    (tmp_path / "clone" / "owner.key").touch()
    (tmp_path / "clone/deploy/secrets").mkdir()
    for name in (".env", "secrets/pgpass"):
        (tmp_path / "clone/deploy" / name).touch()
    seen = untracked(tmp_path / "clone", tmp_path / "git")
    assert {line[3:].partition("/")[0] for line in seen} == _kept()
    assert not [line for line in seen if "deploy" in line and not line.endswith("deploy/file")]
    if (ROOT / ".git").exists():
        listed = [git, "ls-files"]
        tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        assert {line.partition("/")[0] for line in tracked.stdout.splitlines()} == _kept()


def _kept() -> set[str]:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return {line.strip("!/") for line in lines if line.startswith("!/")}


def test_a_token_that_others_may_read_would_be_seen(tmp_path: Path) -> None:
    for name, mode in (("token.json", 0o644), ("private.json", 0o600)):
        (tmp_path / name).write_text('{"access_token": "t"}')
        (tmp_path / name).chmod(mode)
    (tmp_path / "plain.json").write_text("{}")
    assert open_to_others(tmp_path, ()) == ["token.json"]
