"""Looks at a data folder: modes, databases, pins, leftovers. Reads only."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.doctor.findings import Ill

RESTORE: Final = "restore it from a backup"
_OTHERS: Final = 0o077


def private(folder: Path) -> str:
    """See whether the folder is there, ours, and nobody else's."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        raise Ill("there is no such folder", f"sealgate init --data {folder}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise Ill("it is no folder", "name the folder that `sealgate init` made")
    if status.st_uid not in (os.geteuid(), 0):
        raise Ill("it belongs to another user", f"chown -R {os.geteuid()} {folder}")
    if status.st_mode & _OTHERS:
        raise Ill("other users can look into it", f"chmod go= {folder}")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise Ill("it cannot be written", f"chmod u=rwx {folder}")
    return "ours alone"


def database(path: Path) -> str:
    """See whether a SQLite file is there and whole."""
    if not path.is_file():
        raise Ill(f"`{path.name}` is missing", RESTORE)
    if path.stat().st_mode & _OTHERS:
        raise Ill(f"other users can read `{path.name}`", f"chmod go= {path}")
    try:
        with _reading(path) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        raise Ill(f"`{path.name}` is damaged or no database", RESTORE) from None
    if answer != "ok":
        raise Ill(f"`{path.name}` is damaged", RESTORE)
    return "whole"


def _reading(path: Path) -> closing[sqlite3.Connection]:
    """Open a database so that nothing is written, not beside it either."""
    used = path.with_name(path.name + "-wal").exists()
    how = "mode=ro" if used else "mode=ro&immutable=1"
    return closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=5))


def pins(path: Path, log: Path) -> str:
    """See whether the checkpoints are kept that say how long the log was."""
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        kept = {}
    except (OSError, ValueError):
        raise Ill(f"`{path.name}` cannot be read", RESTORE) from None
    if not kept and _has_entries(log):
        raise Ill(
            "the log has entries and no checkpoint of it is kept: it could have been cut",
            f"restore `{path.name}` from a backup, and compare with a checkpoint that you kept",
        )
    return f"{len(kept)} trees have their newest checkpoint kept"


def _has_entries(log: Path) -> bool:
    try:
        with _reading(log) as connection:
            return connection.execute("SELECT 1 FROM tree LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return False


def runs(lock: Path) -> bool:
    """Tell whether a gateway owns the folder now."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def artifacts(folder: Path, *, runs: bool) -> str:
    """See whether payloads can be kept, and whether something was left while nothing runs."""
    for name in ("payload", "staging"):
        if not os.access(folder / name, os.R_OK | os.W_OK | os.X_OK):
            raise Ill(f"`{folder.name}/{name}` is missing or cannot be written", RESTORE)
    if not runs and any((folder / "staging").iterdir()):
        return "whole; the next start clears what an earlier one left"
    return "whole"
