"""Which database a restored gateway gets its records from.

One that the backup's records were put into, and no other: a log and records that are not of one
instant contradict each other.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from gateway.backup.archive import DUMP
from gateway.backup.errors import BackupRefused
from gateway.backup.manifest import Manifest
from gateway.backup.postgresql import put_back as fill
from gateway.settings import SETTINGS_FILE, in_environment


def refuse_other_database(manifest: Manifest, database_url: str | None) -> None:
    """Refuse where the next start would join the restored log to the records of another gateway.

    Raises:
        BackupRefused: The environment, which goes before the settings, names another database.
    """
    named = in_environment("database_url")
    if manifest.database == "apart" or named is None or named == database_url:
        return
    advice = "unset SEALGATE_DATABASE_URL, here and where the gateway is started"
    if manifest.database == "postgresql":
        advice += ", or let it and --database-url name the same empty database"
    what = "`SEALGATE_DATABASE_URL` names another database than the one that is restored"
    raise BackupRefused(what, advice)


def put_back(folder: Path, database_url: str | None) -> None:
    """Fill an empty database from the dump in a draft, and name it in the settings.

    Raises:
        BackupRefused: None is named, or it cannot be filled.
    """
    if database_url is None:
        raise BackupRefused(
            "the control plane of this backup was in PostgreSQL",
            "make an empty database, and name it: --database-url postgresql://USER@HOST/NAME",
        )
    path = folder / SETTINGS_FILE
    path.write_text(_with_database(path.read_text(), database_url))
    fill(folder / DUMP, database_url)
    (folder / DUMP).unlink()


def _with_database(text: str, url: str) -> str:
    """Return settings that name another database and are the same otherwise."""
    line = f"database_url = {msgspec.json.encode(url).decode()}"
    named = re.compile(r"(?m)^\s*database_url\s*=.*$")
    changed, found = named.subn(lambda _: line, text, count=1)
    if not found:  # it came from the environment
        changed = f"{line}\n{text}"
    if tomllib.loads(changed) != {**tomllib.loads(text), "database_url": url}:
        raise BackupRefused(
            f"`database_url` cannot be changed in the {SETTINGS_FILE} of the backup",
            "give the database the name and place that it had",
        )
    return changed
