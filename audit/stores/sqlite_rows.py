"""Rows of a log file's tables and of its journal, as they are read and written.

A row of the journal holds entries as a bundle of C2SP tlog-tiles (a length of 16 bits before each),
their leaf hashes side by side, and sealed fields, each behind its place, length and reference.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from struct import Struct

from audit.errors import EventInvalid, ProofInvalid
from audit.event import Columns, columns, decode
from audit.ports import NewEntry, SealedField, TreeState
from audit.stores.sqlite_file import insert_rows
from audit.tiles import WIDTH
from audit.tree import HASH_SIZE, leaf_hash

_NO_COLUMNS = Columns(0, "", "", "", "")
_LENGTH = Struct(">H")
_SEALED = Struct(">HI36s")  # place of the entry in its row, length, subject reference


def head_of(connection: sqlite3.Connection, tenant: str) -> TreeState | None:
    """Return the head of a tenant's tree: of the newest row of the journal, else of the table."""
    row = connection.execute(
        "SELECT journal.size, journal.frontier, note FROM tree JOIN journal ON tree.id = tree"
        " WHERE tenant = ? ORDER BY n DESC LIMIT 1",
        (tenant,),
    ).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT tree.size, frontier, note FROM tree JOIN checkpoint ON tree = id"
            " WHERE tenant = ?",
            (tenant,),
        ).fetchone()
    return None if row is None else TreeState(*row)


def journaled(
    connection: sqlite3.Connection, tree: int, start: int, stop: int, *, strict: bool = False
) -> list[NewEntry]:
    """Return the entries of the journal within a half-open range, in order.

    Args:
        connection: Sees one state of the file.
        tree: The number of the tree.
        start: The first index.
        stop: The index behind the last.
        strict: Refuse what does not fit its leaf hash, instead of returning it as it is.

    Raises:
        ProofInvalid: An entry is not what was committed, where that is refused.
    """
    rows = connection.execute(
        "SELECT first, leaves, bundle, sealed FROM journal"
        " WHERE tree = ? AND first < ? AND first + count > ? ORDER BY n",
        (tree, stop, start),
    )
    entries = [entry for row in rows for entry in _entries(*row)]
    if strict and any(leaf_hash(entry.body) != entry.leaf_hash for entry in entries):
        raise ProofInvalid("an entry of the journal does not fit its leaf hash")
    return [entry for entry in entries if start <= entry.index < stop]


def tile_of(
    connection: sqlite3.Connection,
    tree: int,
    level: int,
    number: int,
    journal: Sequence[NewEntry] | None = None,
) -> bytes:
    """Return the hashes of a tile that are there.

    Args:
        connection: Sees one state of the file.
        tree: The number of the tree.
        level: The level of the tile.
        number: Its place in the level.
        journal: The entries of the journal, where they are known.
    """
    row = connection.execute(
        "SELECT bytes FROM tile WHERE tree = ? AND level = ? AND n = ?", (tree, level, number)
    ).fetchone()
    if row is not None or level:
        return b"" if row is None else bytes(row[0])
    first = number * WIDTH
    rows = connection.execute(
        "SELECT leaf_hash FROM seq WHERE tree = ? AND idx >= ? AND idx < ? ORDER BY idx",
        (tree, first, first + WIDTH),
    )
    leaves = [leaf for (leaf,) in rows]
    if journal is None:
        journal = journaled(connection, tree, first, first + WIDTH)
    leaves += [entry.leaf_hash for entry in journal if first <= entry.index < first + WIDTH]
    return b"".join(leaves)


def tree_number(connection: sqlite3.Connection, tenant: str) -> int:
    """Return the number of a tenant's tree; -1, which no tree has, if there is none."""
    row = connection.execute("SELECT id FROM tree WHERE tenant = ?", (tenant,)).fetchone()
    return -1 if row is None else int(row[0])


def _entries(first: int, leaves: bytes, bundle: bytes, sealed: bytes) -> Iterator[NewEntry]:
    """Yield the entries of a row; one that is no event any more has no id and no columns."""
    fields = _sealed_fields(sealed)
    at = 0
    for place in range(len(leaves) // HASH_SIZE):
        (length,) = _LENGTH.unpack_from(bundle.ljust(at + 2, b"\0"), at)
        body = bundle[at + 2 : at + 2 + length]
        at += 2 + length
        leaf = leaves[place * HASH_SIZE : (place + 1) * HASH_SIZE]
        own = tuple(fields.get(place, ()))
        try:
            event = decode(body)
        except EventInvalid:
            yield NewEntry(first + place, "", leaf, body, _NO_COLUMNS, (), own)
            continue
        refs = event.subject_refs
        yield NewEntry(first + place, event.id, leaf, body, columns(event), refs, own)


def packed(entries: Sequence[NewEntry]) -> tuple[bytes, bytes, bytes]:
    """Return leaf hashes, bundle and sealed fields of entries, for a row of the journal."""
    return (
        b"".join([entry.leaf_hash for entry in entries]),
        b"".join([_LENGTH.pack(len(entry.body)) + entry.body for entry in entries]),
        b"".join(_sealed_bytes(entries)),
    )


def _sealed_bytes(entries: Sequence[NewEntry]) -> Iterator[bytes]:
    for place, entry in enumerate(entries):
        for one in entry.sealed:
            yield _SEALED.pack(place, len(one.ciphertext), one.subject_ref.encode())
            yield one.ciphertext


def _sealed_fields(content: bytes) -> dict[int, list[SealedField]]:
    found: dict[int, list[SealedField]] = {}
    at = 0
    while at + _SEALED.size <= len(content):
        place, length, ref = _SEALED.unpack_from(content, at)
        at += _SEALED.size
        one = SealedField(ref.decode("ascii", "replace"), content[at : at + length])
        found.setdefault(place, []).append(one)
        at += length
    return found


def insert_entries(connection: sqlite3.Connection, tree: int, entries: Sequence[NewEntry]) -> None:
    """Insert entries into the tables, where readers search them."""
    insert_rows(connection, "seq", [(tree, e.index, e.event_id, e.leaf_hash) for e in entries])
    insert_rows(connection, "body", [(tree, e.index, e.body, *e.columns) for e in entries])
    insert_rows(
        connection,
        "subject",
        [(tree, ref, e.index) for e in entries for ref in dict.fromkeys(e.subject_refs)],
    )
    insert_rows(
        connection,
        "sealed",
        [
            (tree, entry.index, position, sealed.subject_ref, sealed.ciphertext)
            for entry in entries
            for position, sealed in enumerate(entry.sealed)
        ],
    )
