"""What following a page leaves in the reader's folder, which is a clone of the repository."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.docs.conftest import DEMO_FOLDER, Demo
from tests.docs.tables import ROOT
from tests.tools import require_tool

MARKS: Final = (b"AGE-SECRET-KEY-", b"PRIVATE KEY-----", b'"access_token"', b'"d": "', b'"d":"')
"""What only files with keys or tokens hold."""
LARGEST: Final = 1 << 20
"""Bytes: keys and tokens are in small files."""


def untracked(folder: Path, git: Path) -> set[str]:
    """Return what `git status` would tell of a folder if it were a clone.

    Args:
        folder: The reader's.
        git: Where git may keep its own; made here.
    """
    where = (require_tool("git"), f"--git-dir={git}", f"--work-tree={folder}")
    subprocess.run([*where, "init", "-q"], check=True, capture_output=True)
    (git / "info").mkdir(exist_ok=True)
    shutil.copy(ROOT / ".gitignore", git / "info" / "exclude")
    status = [*where, "status", "--porcelain", "--untracked-files=all"]
    told = subprocess.run(status, check=True, capture_output=True, text=True, cwd=folder)
    return set(told.stdout.splitlines())


def secrets_of(demo: Demo) -> tuple[bytes, ...]:
    """Return the secrets of the demo's clients."""
    return tuple(
        path.read_bytes() for path in (demo.folder / DEMO_FOLDER).glob("profiles/*.secret")
    )


def open_to_others(folder: Path, secrets: Iterable[bytes]) -> list[str]:
    """Return files with a key, a token or a secret that others than their owner may read."""
    marks = (*MARKS, *secrets)
    found = []
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST:
            continue
        content = path.read_bytes()
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        if others and any(mark in content for mark in marks):
            found.append(str(path.relative_to(folder)))
    return found
