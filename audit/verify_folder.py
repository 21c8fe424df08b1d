"""Verify audit logs where they are written: a data folder, or the `audit.db` in it.

  python -m audit.verify_folder DATA --key KEY-OF-ACME --key KEY-OF-PLATFORM

Like `verify.py`, whose rules it applies to every tree of the file, it needs Python and
`cryptography` only and shares no code with what wrote the log. Beyond those rules:

1. The file is opened read-only and read in one snapshot; verifying changes nothing.
2. Both stored copies of a leaf hash agree, the head of each tree is that of its checkpoint, and no
   row belongs to no tree or stands beyond its checkpoint. The newest entries of a tree may stand in
   the journal, where a commit puts them first; none stands there and in the tables.
3. A sealed field that is there is what its event committed to; one that is gone is covered by an
   erasure or a prune event.

exit status: 0 VERIFIED; 6 FAILED, naming the first bad entry as origin/index, or UNPINNED.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from audit.verify import (
    COLUMNS,
    WIDTH,
    Broken,
    Checker,
    Finding,
    Key,
    Report,
    Row,
    Tree,
    command,
    report_of,
)

FILE = "audit.db"
MAGIC = b"SQLite format 3\x00"
MAX_VALUE = 4 << 20  # bytes a column: far above an event and a tile, below harm


def is_folder(path: Path) -> bool:
    """Tell whether a path is for this verifier: a folder, or a SQLite file."""
    if path.is_dir():
        return True
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
    return False


def verify_folder(
    path: str | Path, key: str | Sequence[str] | None = None, kept: Sequence[bytes] = ()
) -> Report:
    """Verify every tree of a data folder.

    Args:
        path: The folder, or its `audit.db`.
        key: The vkeys, one a tree. A tree without its own makes the result UNPINNED.
        kept: Checkpoints that were kept elsewhere; the logs must have grown out of them.

    Raises:
        ValueError: A key is malformed.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)

    def check(keys: Sequence[Key]) -> Iterator[Tree]:
        with _opened(file) as connection:
            for tree in _trees(connection, keys, kept):
                yield tree.check()
            for what in _strays(connection):
                yield Tree("?", findings=[Finding("?", what)])

    return report_of(check, key, kept)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    still = not path.with_name(path.name + "-wal").exists()  # nobody has it open
    uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("BEGIN")
        yield connection


def _trees(
    connection: sqlite3.Connection, keys: Sequence[Key], kept: Sequence[bytes]
) -> Iterator[_StoredTree]:
    rows = connection.execute(
        "SELECT id, tenant, note, tree.size, frontier, checkpoint.size FROM tree"
        " LEFT JOIN checkpoint ON checkpoint.tree = tree.id ORDER BY tenant"
    ).fetchall()
    for number, tenant, note, *head in rows:
        tree = _StoredTree(str(tenant), _bytes(note), keys, kept)
        tree.connection, tree.number, tree.head = connection, number, head
        yield tree


def _strays(connection: sqlite3.Connection) -> Iterator[str]:
    if connection.execute("SELECT 1 FROM tree GROUP BY tenant HAVING count(*) > 1").fetchone():
        yield "a tenant has two trees"
    tables = ["seq", "body", "subject", "sealed", "tile", "checkpoint"]
    for table in tables + ["journal"] * _has_journal(connection):
        sql = f"SELECT 1 FROM {table} WHERE tree NOT IN (SELECT id FROM tree) LIMIT 1"  # noqa: S608
        if connection.execute(sql).fetchone():
            yield f"a row of {table} belongs to no tree"
    if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        yield "the database file is damaged"


class _StoredTree(Checker):
    """Checks one tree of a database."""

    connection: sqlite3.Connection
    number: int
    head: list[object]

    def __init__(
        self, tenant: str, note: bytes, keys: Sequence[Key], kept: Sequence[bytes]
    ) -> None:
        super().__init__(tenant, note, keys, kept)
        self.sealed: dict[int, list[tuple[str, str]]] = {}
        self.unsealed: dict[str, int] = {}
        self.erased: set[str] = set()
        self.journal: dict[int, _Waiting] = {}

    def check(self) -> Tree:
        """Check the tree, whose newest entries and head may be in the journal."""
        try:
            if _has_journal(self.connection):
                self._open_journal()
        except (Broken, TypeError, sqlite3.Error) as fault:
            self.tree.findings.append(Finding(self.tenant, f"the journal cannot be read: {fault}"))
        return super().check()

    def _open_journal(self) -> None:
        sql = (
            "SELECT first, leaves, bundle, sealed, note, size, frontier FROM journal"
            " WHERE tree = ? ORDER BY n"
        )
        for first, leaves, bundle, sealed, note, size, edge in self.connection.execute(
            sql, (self.number,)
        ):
            if first in self.journal or type(first) is not int:
                continue  # then an entry is missing
            for place, one in enumerate(_waiting(_bytes(leaves), _bytes(bundle), _bytes(sealed))):
                self.journal[first + place] = one
            self.note, self.head = _bytes(note), [size, edge, size]

    def rows(self, first: int, stop: int) -> Sequence[Row]:
        """Return the entries of a block."""
        try:
            return self._read(first, stop)
        except (TypeError, AttributeError, sqlite3.Error) as fault:
            raise Broken("the rows cannot be read", first) from fault

    def _read(self, first: int, stop: int) -> Sequence[Row]:
        found = self._block("idx, id, leaf_hash", "seq", first, stop)
        settled = {row[0] for row in found}
        waiting = {n: self.journal[n] for n in range(first, stop) if n in self.journal}
        for index in sorted(settled & waiting.keys()):
            self.found(index, "the entry is in the journal and in the tables")
        found = sorted([*found, *((n, "", waiting[n].leaf) for n in waiting.keys() - settled)])
        absent = next((n for n, row in enumerate(found, first) if row[0] != n), first + len(found))
        if absent != stop or len(found) != stop - first:
            raise Broken("the entry is missing", absent)
        stored = self._block(f"idx, bytes, {', '.join(COLUMNS)}", "body", first, stop)
        bodies = {row[0]: row[1:] for row in stored}
        if len(bodies) != len(stored):
            raise Broken("an entry has two bodies", first)
        refs: dict[int, list[str]] = {}
        for index, ref in self._block("idx, ref", "subject", first, stop):
            refs.setdefault(index, []).append(ref)
        self.sealed = {}
        for index, ref, ciphertext in self._block("idx, ref, ct", "sealed", first, stop):
            self.sealed.setdefault(index, []).append((ref, sha256(ciphertext).hexdigest()))
        for index, one in waiting.items():
            self.sealed.setdefault(index, []).extend(one.sealed)
        self._compare_leaves(first, [_bytes(leaf) for _, _, leaf in found])
        rows = []
        for index, identity, leaf in found:
            columns: dict[str, Any] | None = None
            body = None
            if index in waiting:
                body, columns = waiting[index].body, _columns(waiting[index].body)
            elif index in bodies:
                body = _bytes(bodies[index][0])
                columns = dict(zip(COLUMNS, bodies[index][1:], strict=True))
                columns |= {"id": identity, "subject_refs": sorted(refs.get(index, []))}
            elif index in refs or index in self.sealed:
                columns = {}
            rows.append(Row(_bytes(leaf), body, columns))
        return rows

    def _block(self, columns: str, table: str, first: int, stop: int) -> list[tuple[Any, ...]]:
        sql = f"SELECT {columns} FROM {table} WHERE tree = ? AND idx >= ? AND idx < ? ORDER BY idx"  # noqa: S608
        return self.connection.execute(sql, (self.number, first, stop)).fetchall()

    def _compare_leaves(self, first: int, leaves: list[bytes]) -> None:
        """Compare a full block with its tile; that of the last, partial one is not stored."""
        if len(leaves) == WIDTH:
            tile = self.tile(0, first // WIDTH, WIDTH)
            if len(tile) > 32 * WIDTH:
                self.found(first, f"tile 0/{first // WIDTH} has the wrong length")
            for at, leaf in enumerate(leaves):
                if tile[32 * at : 32 * (at + 1)] != leaf:
                    self.found(first + at, "two stored copies of the leaf hash differ")

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return a stored tile, empty if there is none."""
        del width
        sql = "SELECT bytes FROM tile WHERE tree = ? AND level = ? AND n = ?"
        found = self.connection.execute(sql, (self.number, level, number)).fetchall()
        return _bytes(found[0][0]) if len(found) == 1 else b""

    def event(self, index: int, event: dict[str, Any], *, allowed: bool) -> None:
        """Check an event and its sealed fields."""
        super().event(index, event, allowed=allowed)
        if event["action"] == "eraseSubject" and allowed:
            self.erased.update(event.get("subject_refs", ()))
        commits = event.get("sealed_commit", ())
        promised = [(commit["subject_ref"], commit["sha256"]) for commit in commits]
        for one in self.sealed.get(index, ()):
            if one in promised:
                promised.remove(one)
            else:
                self.found(index, "a sealed field is not the one that the event commits to")
        for ref, _ in promised:
            self.tree.erased += 1
            self.unsealed.setdefault(ref, index)

    def authorised(self) -> None:
        """Ask for the events that allowed what is gone."""
        super().authorised()
        for ref, index in self.unsealed.items():
            if ref not in self.erased:
                self.found(index, "a sealed field is missing and no erasure covers it")

    def strays(self, size: int, edge: bytes) -> Iterator[tuple[int, str]]:
        """Yield what stands beyond the checkpoint."""
        if self.head != [size, edge, size]:
            yield size, "the head of the tree is not that of its checkpoint"
        if any(not 0 <= index < size for index in self.journal):
            yield size, "a row of the journal stands beyond the checkpoint"
        for table in ("seq", "body", "subject", "sealed"):
            sql = f"SELECT idx FROM {table} WHERE tree = ? AND NOT (idx >= 0 AND idx < ?) LIMIT 1"  # noqa: S608
            if self.connection.execute(sql, (self.number, size)).fetchone():
                yield size, f"a row of {table} stands beyond the checkpoint"
        sql = (
            "SELECT 1 FROM tile WHERE tree = ? AND NOT (level >= 0 AND level < 8 AND n >= 0"
            " AND n < ((? >> (8 * level)) + (level > 0) * 255) >> 8) LIMIT 1"
        )
        if self.connection.execute(sql, (self.number, size)).fetchone():
            yield size, "a tile stands beyond the checkpoint"


class _Waiting(NamedTuple):
    """An entry in the journal, and the references and digests of its sealed fields."""

    leaf: bytes
    body: bytes
    sealed: list[tuple[str, str]]


def _has_journal(connection: sqlite3.Connection) -> bool:
    """Tell whether the file has a journal: those of the first version have none."""
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'journal'"
    return connection.execute(sql).fetchone() is not None


def _waiting(leaves: bytes, bundle: bytes, sealed: bytes) -> Iterator[_Waiting]:
    """Yield the entries of a row of the journal; what is cut off comes out shorter."""
    fields: dict[int, list[tuple[str, str]]] = {}
    at = 0
    while at < len(sealed):
        place = int.from_bytes(sealed[at : at + 2], "big")
        start = at + 42  # behind place, length and reference
        ref = sealed[at + 6 : start].decode("ascii", "replace")
        at = start + int.from_bytes(sealed[at + 2 : at + 6], "big")
        fields.setdefault(place, []).append((ref, sha256(sealed[start:at]).hexdigest()))
    at = 0
    for place in range(len(leaves) // 32):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        leaf = leaves[32 * place : 32 * (place + 1)]
        yield _Waiting(leaf, bundle[start:at], fields.pop(place, []))
    if at != len(bundle) or fields or len(leaves) % 32:
        raise Broken("a row of the journal holds other than its entries")


def _columns(body: bytes) -> dict[str, Any]:
    """Return the index columns that an entry will have: in the journal it has none yet."""
    try:
        event = dict(json.loads(body))
        columns = {name: event.get(name, "") for name in COLUMNS} | {"id": event["id"]}
        return columns | {"subject_refs": sorted(set(event.get("subject_refs", ())))}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _bytes(value: object) -> bytes:
    """Return a column that should be bytes; what is not bytes can match nothing."""
    return value if isinstance(value, bytes) else b""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return command(verify_folder, "verify_folder.py", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
