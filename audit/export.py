"""One zip file that proves a tenant's log, to be checked with `audit/verify.py` and nothing else.

It holds `export.json` (what this is), `checkpoint` (the signed note), `tile/…` (the tree and
the entries, laid out as C2SP tlog-tiles) and `index/…` (the index columns of each bundle of
entries, as JSON lines). Everything is as stored, unchecked: the export is evidence, and so is
what was tampered with. Sealed fields are left out; the events hold their digests. An entry
whose body was pruned is empty, and the event that authorised it is in the log.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from audit.note import checkpoint_of
from audit.ports import StoredEntry
from audit.reader import LogReader
from audit.tiles import WIDTH, TileAddress, tile_path, tiles_of

FORMAT = "sealgate-audit-export/1"

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The same log gives the same bytes, whenever it is exported."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export holds.

    Attributes:
        origin: The log.
        size: Number of entries.
        root: The tree's root in hexadecimal.
        pruned: How many of the entries have no body any more.
    """

    origin: str
    size: int
    root: str
    pruned: int


def export_log(reader: LogReader, tenant: str, out: BinaryIO) -> ExportSummary:
    """Write the whole log of a tenant, as it was when the call began.

    Args:
        reader: Reads the log.
        tenant: Whose log it is.
        out: Where the zip file goes; it need not be seekable.

    Raises:
        LogEmpty: The tenant has no entry yet.
        EntryTampered: The checkpoint is not signed by the log's key.
        StoreFault: The store cannot be read; what was written is no export.
    """
    note = reader.checkpoint(tenant)
    checkpoint = checkpoint_of(note)
    head = {"format": FORMAT, "origin": checkpoint.origin, "tenant": tenant}
    pruned = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "export.json", msgspec.json.encode(head))
        _add(archive, "checkpoint", note)
        for address in tiles_of(checkpoint.size):
            _add(archive, tile_path(address), reader.tile(tenant, address))
            if address.level == 0:
                bundle = TileAddress(None, address.number, address.width)
                path = tile_path(bundle)
                _add(archive, path, reader.tile(tenant, bundle))
                first = WIDTH * address.number
                rows = reader.rows(tenant, first, first + address.width)
                pruned += sum(row.body is None for row in rows)
                lines = b"".join(msgspec.json.encode(_line(row)) + b"\n" for row in rows)
                _add(archive, path.replace("tile/entries", "index", 1) + ".jsonl", lines)
    return ExportSummary(checkpoint.origin, checkpoint.size, checkpoint.root.hex(), pruned)


def _line(row: StoredEntry) -> dict[str, object]:
    line: dict[str, object] = {"index": row.index, "id": row.event_id}
    if row.columns is not None:
        line |= row.columns._asdict()
        line["subject_refs"] = sorted(row.subject_refs)
    return line


def _add(archive: zipfile.ZipFile, path: str, content: bytes) -> None:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    archive.writestr(info, content)
