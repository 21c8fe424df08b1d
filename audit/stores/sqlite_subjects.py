"""The subjects in a SQLite file of their own, whose copies can live shorter than the log's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.ports import SubjectRow
from audit.stores.sqlite_file import BUSY_SECONDS, SqliteFile

SCHEMA = """
CREATE TABLE generation (
  tenant TEXT NOT NULL, number INTEGER NOT NULL, wrapped_key BLOB NOT NULL,
  PRIMARY KEY (tenant, number)
) STRICT;
CREATE TABLE subject (
  tenant TEXT NOT NULL, mac BLOB NOT NULL, ref TEXT NOT NULL, generation INTEGER NOT NULL,
  wrapped_key BLOB NOT NULL, PRIMARY KEY (tenant, mac)
) STRICT;
CREATE UNIQUE INDEX subject_ref ON subject (tenant, ref);
CREATE INDEX subject_generation ON subject (tenant, generation)
"""


class SqliteSubjectStore:
    """A `SubjectStore` in one SQLite file.

    Args:
        path: The file; made if it is missing.
        busy_seconds: How long to wait for a lock; see `SqliteFile`.

    Raises:
        StoreFault: The file cannot be opened.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._file = SqliteFile(path, [SCHEMA], busy_seconds=busy_seconds)

    def generation(self, tenant: str, number: int | None = None) -> tuple[int, bytes] | None:
        """Return number and wrapped key of a generation, the newest by default, or None."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT number, wrapped_key FROM generation"
                " WHERE tenant = ? AND number = coalesce(?, number) ORDER BY number DESC LIMIT 1",
                (tenant, number),
            ).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def add_generation(self, tenant: str, number: int, wrapped_key: bytes) -> bool:
        """Durably add a generation; False if that number exists."""
        with self._file.writing() as connection:
            added = connection.execute(
                "INSERT INTO generation VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (tenant, number, wrapped_key),
            )
        return added.rowcount == 1

    def rewrap_generation(self, tenant: str, number: int, wrapped_key: bytes) -> None:
        """Durably replace the wrapped key of a generation; `wipe` takes the one before away."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE generation SET wrapped_key = ? WHERE tenant = ? AND number = ?",
                (wrapped_key, tenant, number),
            )

    def wipe(self) -> None:
        """Take all bytes out of the files that were replaced or deleted."""
        self._file.wipe()

    def drop_generation(self, tenant: str, number: int) -> None:
        """Delete a generation key and wipe its bytes."""
        with self._file.writing() as connection:
            connection.execute(
                "DELETE FROM generation WHERE tenant = ? AND number = ?", (tenant, number)
            )
        self._file.wipe()

    def by_mac(self, tenant: str, mac: bytes) -> SubjectRow | None:
        """Return the living subject with this look-up code, or None."""
        return self._row("mac = ?", tenant, mac)

    def by_ref(self, tenant: str, ref: str) -> SubjectRow | None:
        """Return the living subject with this reference, or None."""
        return self._row("ref = ?", tenant, ref)

    def add(self, tenant: str, mac: bytes, row: SubjectRow) -> SubjectRow:
        """Durably add a subject; if the code is taken, return the row that is there instead."""
        with self._file.writing() as connection:
            added = connection.execute(
                "INSERT INTO subject VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, mac) DO NOTHING",
                (tenant, mac, *row),
            )
        if added.rowcount == 1:
            return row
        return self.by_mac(tenant, mac) or self.add(tenant, mac, row)

    def older(self, tenant: str, generation: int, limit: int) -> list[SubjectRow]:
        """Return up to `limit` subjects whose generation is below this one."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT ref, generation, wrapped_key FROM subject"
                " WHERE tenant = ? AND generation < ? LIMIT ?",
                (tenant, generation, limit),
            )
            return [SubjectRow(*row) for row in rows]

    def rewrap(self, tenant: str, rows: Sequence[SubjectRow]) -> None:
        """Durably replace generation and wrapped key of subjects that still live."""
        with self._file.writing() as connection:
            connection.executemany(
                "UPDATE subject SET generation = ?, wrapped_key = ? WHERE tenant = ? AND ref = ?",
                [(row.generation, row.wrapped_key, tenant, row.ref) for row in rows],
            )

    def delete(self, tenant: str, ref: str) -> bool:
        """Delete code, reference and key of a subject and wipe their bytes."""
        with self._file.writing() as connection:
            deleted = connection.execute(
                "DELETE FROM subject WHERE tenant = ? AND ref = ?", (tenant, ref)
            )
        self._file.wipe()
        return deleted.rowcount == 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _row(self, condition: str, tenant: str, key: object) -> SubjectRow | None:
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT ref, generation, wrapped_key FROM subject"  # noqa: S608 - fixed conditions
                f" WHERE tenant = ? AND {condition}",
                (tenant, key),
            ).fetchone()
        return None if row is None else SubjectRow(*row)
