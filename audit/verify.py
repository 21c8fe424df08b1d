"""Verify an export of an audit log, without trusting whoever gave it to you.

  python verify.py EXPORT.zip --key 'log.example/acme+c3d4a1b2+AV...'

This one file needs Python and `cryptography`, nothing of ours: it shares no code, and so no
mistake, with what wrote the log. What it establishes:

1. The checkpoint is signed by the key given. Keys inside the export prove nothing, so without
   `--key` the result is UNPINNED and the exit status is not 0.
2. Every entry from 0 to the checkpoint's size is there; its bytes hash to the leaf in the tree;
   the leaves hash to the signed root; every stored tile is what the leaves make it.
3. Nothing stands beyond the checkpoint: no later entry, no file that belongs to none.
4. Every index column says what the bytes say, no event id occurs twice, and each event is of
   the tenant whose tree it is in.
5. An entry without its body is covered by a prune event.
6. A key that the log was signed with earlier is enough: an entry of the log names the key that
   follows, under the signature of the one before. Each step from the key given to the one that
   signed the checkpoint is checked, and a checkpoint by any other key than the newest is refused.
7. Hostile input costs bounded memory and ends as a finding, never as a crash.

Get the KEY from the log's operator by another way than the export: printed, by telephone, from an
earlier audit. Keep the checkpoint of every export: given as --kept the next time, it shows that
nothing was taken back or rewritten since; that log and checkpoint were both rolled back cannot be
noticed otherwise. verify_folder.py checks the log where it is written, by the same rules.

exit status: 0 VERIFIED; 6 FAILED, naming the first bad entry as origin/index, or UNPINNED.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import re
import sqlite3
import sys
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EXIT_OK, EXIT_FAILED = 0, 6
WIDTH = 256
MAX_SIZE = 1 << 32  # entries a tree; more than this takes weeks to write
MAX_EVENT = 65_535  # an entry's length has 16 bits
MAX_NOTE = 65_536
MAX_BUNDLE = WIDTH * (2 + MAX_EVENT)
MAX_INDEX = 2 * MAX_BUNDLE  # the columns repeat a part of the event
MAX_DIRECTORY = 24 << 20  # zip directory: 300,000 files, 25 million entries
MAX_FINDINGS = 20  # told for each tree; the first is what counts
MAX_KEYS = 1_001  # of one log, one after the other
COLUMNS = ("ts", "actor_ref", "action", "outcome", "model_id")


class Broken(Exception):
    """The input cannot be read as what it should be, from entry `index` on."""

    def __init__(self, what: str, index: int | None = None) -> None:
        super().__init__(what)
        self.index = index


@dataclass
class Finding:
    """One thing that is wrong. `entry` is `origin/index`, or the origin for the whole tree."""

    entry: str
    what: str

    @property
    def place(self) -> tuple[bool, int]:
        """Return whether it is about the whole tree, and which entry it names."""
        tail = self.entry.rpartition("/")[2]
        return (not tail.isdecimal(), int(tail) if tail.isdecimal() else 0)


@dataclass
class Tree:
    """What was found out about one tree.

    `pinned`: its checkpoint is signed by a key that you gave, or by one that follows from it.
    `keys`: the vkeys that the log says it was signed with, oldest first, if it ever changed.
    """

    origin: str
    size: int = 0
    root: str = ""
    pinned: bool = False
    keys: list[str] = field(default_factory=list)
    pruned: int = 0
    erased: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass
class Report:
    """The result: VERIFIED, UNPINNED (no key for some tree) or FAILED."""

    trees: list[Tree]

    @property
    def status(self) -> str:
        """Return the result in one word."""
        if not self.trees or any(tree.findings for tree in self.trees):
            return "FAILED"
        return "VERIFIED" if all(tree.pinned for tree in self.trees) else "UNPINNED"

    @property
    def first_bad(self) -> str | None:
        """Return the first bad entry, as `origin/index`."""
        return next((f.entry for tree in self.trees for f in tree.findings), None)


class Row(NamedTuple):
    """An entry as stored, without body and columns when it was pruned."""

    leaf: bytes
    body: bytes | None
    columns: dict[str, Any] | None


class Key(NamedTuple):
    """A vkey (C2SP signed-note): `origin+hash+key`."""

    name: str
    hash: bytes
    public: Ed25519PublicKey


def parse_key(vkey: str) -> Key:
    """Return the key that a vkey holds, or raise ValueError."""
    name, short, encoded = vkey.strip().split("+", 2)
    raw = _unbase64(encoded)
    digest = sha256(name.encode() + b"\n" + raw).digest()[:4]
    if len(raw) != 33 or raw[0] != 1 or digest.hex() != short:
        raise ValueError("not an Ed25519 verifier key")
    return Key(name, digest, Ed25519PublicKey.from_public_bytes(raw[1:]))


def _unbase64(text: str) -> bytes:
    """Decode base64 in its one canonical form, or raise ValueError."""
    value = base64.b64decode(text, validate=True)
    if base64.b64encode(value).decode() != text:
        raise ValueError("not canonical base64")
    return value


class Head(NamedTuple):
    """A checkpoint (C2SP tlog-checkpoint): its three lines, its text and who signed it how."""

    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: Sequence[tuple[str, bytes]]

    def signed_by(self, keys: Sequence[Key]) -> bool:
        """Tell whether one of the keys signed it."""
        return any(_signed(self.text, self.signatures, key) for key in keys)


def _signed(text: bytes, signatures: Sequence[tuple[str, bytes]], key: Key) -> bool:
    for name, signature in signatures:
        if (name, signature[:4]) == (key.name, key.hash):
            with contextlib.suppress(InvalidSignature):
                key.public.verify(signature[4:], text)
                return True
    return False


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return text and signatures of a signed note, or raise ValueError."""
    text, lines = note.rsplit("\n\n", 1)
    parts = [re.fullmatch("\u2014 (\\S+) (\\S+)", line) for line in lines.split("\n")[:-1]]
    signatures = [(p[1], _unbase64(p[2])) for p in parts if p]
    if not (lines.endswith("\n") and signatures and len(signatures) == len(parts)):
        raise ValueError("not a signed note")
    return text, signatures


def _succession(note: str, origin: str) -> tuple[str, str]:
    """Return the vkeys of which one follows the other, or raise ValueError.

    Both keys have signed the note.
    """
    text, signatures = _split(note)
    head, name, *vkeys = text.split("\n")
    if head != "sealgate log key succession v1" or name != origin or len(vkeys) != 2:
        raise ValueError("not a succession of this log's keys")
    before, after = map(parse_key, vkeys)
    same = {before.name, after.name} == {origin} and vkeys[0] != vkeys[1]
    if not same or any(vkey != vkey.strip() for vkey in vkeys):
        raise ValueError("not keys of this log")
    if not all(_signed(f"{text}\n".encode(), signatures, key) for key in (before, after)):
        raise ValueError("not signed by both")
    return vkeys[0], vkeys[1]


def open_note(note: bytes) -> Head:
    """Return the checkpoint that a signed note holds; no signature is checked yet."""
    try:
        text, signatures = _split(note[: MAX_NOTE + 1].decode())
        origin, size, encoded = text.split("\n")
        root = _unbase64(encoded)
        shaped = re.fullmatch("[1-9][0-9]{0,9}", size) and len(root) == 32 and origin
        if not shaped:
            raise ValueError
        if len(note) > MAX_NOTE or int(size) > MAX_SIZE:
            raise ValueError
        return Head(origin, int(size), root, f"{text}\n".encode(), signatures)
    except ValueError as fault:
        raise Broken("the checkpoint is malformed") from fault


class _Hasher:
    """Hashes leaves to a root and collects what every tile above level 0 must hold."""

    def __init__(self) -> None:
        self.size, self.edge = 0, list[bytes]()
        self.levels: dict[int, bytearray] = {}

    def add(self, node: bytes) -> None:
        height, position = 0, self.size
        while position & 1:
            node = sha256(b"\x01" + self.edge.pop() + node).digest()
            height, position = height + 1, position >> 1
            if height % 8 == 0:
                self.levels.setdefault(height // 8, bytearray()).extend(node)
        self.edge.append(node)
        self.size += 1

    def root(self) -> bytes:
        *rest, root = self.edge
        for left in reversed(rest):
            root = sha256(b"\x01" + left + root).digest()
        return root


class Checker:
    """Walks one tree and collects findings. A kind of store says how it is read."""

    def __init__(
        self, tenant: str, note: bytes, keys: Sequence[Key], kept: Sequence[bytes]
    ) -> None:
        self.tenant, self.note, self.keys, self.kept = tenant, note, keys, kept
        self.tree = Tree(tenant)
        self.ids = sqlite3.connect("", isolation_level=None)  # on disk: ids outgrow memory
        self.ids.execute("CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self.ids.execute("BEGIN")
        self.bare = array("Q")
        self.prunes: list[tuple[int, int]] = []

    def rows(self, first: int, stop: int) -> Sequence[Row]:
        """Return the entries of a block, at most WIDTH, or raise Broken."""
        raise NotImplementedError

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return a stored tile, empty if there is none, or raise Broken."""
        raise NotImplementedError

    def strays(self, size: int, edge: bytes) -> Iterator[tuple[int, str]]:
        """Yield what stands beyond the checkpoint; `edge` are the hashes of the right edge."""
        raise NotImplementedError

    def found(self, index: int | None, what: str) -> None:
        """Note a finding about an entry or about the whole tree."""
        where = self.tree.origin if index is None else f"{self.tree.origin}/{index}"
        self.tree.findings.append(Finding(where, what))
        if len(self.tree.findings) == MAX_FINDINGS:
            raise Broken("there is more; the checking ended here")

    def check(self) -> Tree:
        """Check the tree."""
        tree = self.tree
        try:
            head = open_note(self.note)
            tree.origin, tree.size, tree.root = head.origin, head.size, head.root.hex()
            if head.origin.rpartition("/")[2] != self.tenant:
                self.found(None, "the checkpoint is of another tenant's log")
            self._walk(head)
            self._pin(head)
            self.authorised()
        except Broken as fault:
            where = tree.origin if fault.index is None else f"{tree.origin}/{fault.index}"
            tree.findings.append(Finding(where, str(fault)))
        finally:
            self.ids.close()
        tree.findings.sort(key=lambda finding: finding.place)
        return tree

    def _pin(self, head: Head) -> None:
        """Look who signed the checkpoint, once the log has told how its keys follow each other."""
        mine = [key for key in self.keys if key.name == head.origin]
        chain = [parse_key(vkey) for vkey in self.tree.keys]
        if not chain:
            self.tree.pinned = head.signed_by(mine)
        elif not head.signed_by(chain[-1:]):
            self.found(None, "the checkpoint is not signed by the newest key that the log names")
            return
        else:
            given = {key.public.public_bytes_raw() for key in mine}
            self.tree.pinned = any(key.public.public_bytes_raw() in given for key in chain)
        if mine and not self.tree.pinned:
            self.found(None, "the checkpoint is not signed by the key given for this log")

    def _succeeded(self, index: int, note: object) -> None:
        """Follow the log from one key to the next."""
        try:
            before, after = _succession(str(note), self.tree.origin)
        except ValueError:
            self.found(index, "the entry names a key that the one before it has not endorsed")
            return
        known = self.tree.keys
        if (known and known[-1] != before) or after in known or len(known) >= MAX_KEYS:
            self.found(index, "the keys of the log do not follow one another")
            return
        known += [after] if known else [before, after]

    def _walk(self, head: Head) -> None:
        hasher = _Hasher()
        kept: dict[int, set[bytes]] = {}
        for old in map(open_note, self.kept):
            if old.origin == head.origin:
                kept.setdefault(old.size, set()).add(old.root)
        for first in range(0, head.size, WIDTH):
            for index, row in enumerate(self.rows(first, min(head.size, first + WIDTH)), first):
                self._row(index, row)
                hasher.add(row.leaf)
                roots = kept.pop(hasher.size, None)
                if roots is not None and roots != {hasher.root()}:
                    raise Broken("the log is not the one of the kept checkpoint", index)
        if kept:
            raise Broken("the log is older than the kept checkpoint", head.size - 1)
        for level, hashes in hasher.levels.items():
            for first in range(0, len(hashes) // 32, WIDTH):
                self._tile(level, first, bytes(hashes[32 * first : 32 * (first + WIDTH)]))
        if hasher.root() != head.root:
            where = None if self.tree.findings else 0
            self.found(where, f"entries 0 to {head.size - 1} do not hash to the signed root")
        for stray, what in self.strays(head.size, b"".join(hasher.edge)):
            self.found(stray, what)

    def _row(self, index: int, row: Row) -> None:
        if row.body is None:
            self.bare.append(index)
            if row.columns is not None:
                self.found(index, "an index column stands for an entry without a body")
            return
        if sha256(b"\x00" + row.body).digest() != row.leaf:
            self.found(index, "the event's bytes do not match the leaf hash in the tree")
        try:
            event = _event(row.body)
        except (ValueError, RecursionError):
            self.found(index, "the entry is not an event")
            return
        expected = {name: event.get(name, "") for name in COLUMNS} | {"id": event["id"]}
        expected["subject_refs"] = sorted(set(event.get("subject_refs", ())))
        if row.columns != expected:
            names = sorted(k for k in expected if (row.columns or {}).get(k) != expected[k])
            self.found(index, f"index columns differ from the event: {', '.join(names) or 'extra'}")
        self.event(index, event, allowed=event["outcome"] in ("allow", "done"))

    def event(self, index: int, event: dict[str, Any], *, allowed: bool) -> None:
        """Check an event against those before it."""
        if event["tenant"] != self.tenant:
            self.found(index, "the event is of another tenant")
        if not self.ids.execute("INSERT OR IGNORE INTO ids VALUES (?)", (event["id"],)).rowcount:
            self.found(index, "the event id occurs twice")
        if "succession" in event or (event["action"] == "rotateLogKey" and allowed):
            self._succeeded(index, event.get("succession"))
        if event["action"] == "pruneEvents" and allowed:
            self.prunes += [(low, min(high, index)) for low, high in event.get("pruned", ())]

    def _tile(self, level: int, first: int, expected: bytes) -> None:
        """Compare a tile above level 0; where no entry below is found bad yet, name the first."""
        stored = self.tile(level, first // WIDTH, len(expected) // 32)
        if len(stored) != len(expected):
            self.found(first << 8 * level, f"tile {level}/{first // WIDTH} has the wrong length")
        bad = [at for whole, at in (finding.place for finding in self.tree.findings) if not whole]
        for at in range(0, len(expected), 32):
            low, high = ((first + at // 32 + n) << 8 * level for n in (0, 1))
            same = stored[at : at + 32] == expected[at : at + 32]
            if not same and not any(low <= index < high for index in bad):
                self.found(low, f"entries {low} to {high - 1} do not hash to their node in a tile")

    def authorised(self) -> None:
        """Ask for the events that allowed what is gone."""
        ranges, at, reach = sorted(self.prunes), 0, 0
        for index in self.bare:
            while at < len(ranges) and ranges[at][0] <= index:
                reach, at = max(reach, ranges[at][1]), at + 1
            if index >= reach:
                self.found(index, "the body is missing and no prune event covers it")
        self.tree.pruned = len(self.bare)


def _event(body: bytes) -> dict[str, Any]:
    """Return the event that bytes hold, or raise ValueError if it lacks the shape of one."""
    event = json.loads(body)
    try:
        texts = [event[name] for name in ("id", "tenant", "action", "outcome")]
        texts += event.get("subject_refs", [])
        commits, pruned = event.get("sealed_commit", []), event.get("pruned", [])
        texts += [commit[name] for commit in commits for name in ("subject_ref", "sha256")]
        numbers = [event["ts"], *(bound for low, high in pruned for bound in (low, high))]
        uuid = re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["id"])
    except (TypeError, KeyError, AttributeError) as fault:
        raise ValueError from fault
    if {*map(type, texts)} != {str} or {*map(type, numbers)} != {int} or uuid is None:
        raise ValueError
    return dict(event)


class _Archive(Checker):
    """Checks an export: a zip file in the layout of C2SP tlog-tiles."""

    def __init__(self, file: zipfile.ZipFile, keys: Sequence[Key], kept: Sequence[bytes]) -> None:
        self.file = file
        infos = file.infolist()
        self.names = {info.filename for info in infos}
        if len(self.names) != len(infos) or any(i.compress_type not in (0, 8) for i in infos):
            raise Broken("the archive is not one that an export makes")
        head = json.loads(self._read("export.json", MAX_NOTE, 0))
        if not isinstance(head, dict) or head.get("format") != "sealgate-audit-export/1":
            raise Broken("the archive is not an export, or one of another version")
        super().__init__(str(head.get("tenant")), self._read("checkpoint", MAX_NOTE, 0), keys, kept)

    def _read(self, name: str, limit: int, index: int) -> bytes:
        if name not in self.names:
            raise Broken(f"{name} is missing", index)
        self.names.discard(name)
        try:
            with self.file.open(name) as member:
                content = member.read(limit + 1)
        except _ZIP_FAULTS as fault:
            raise Broken(f"{name} cannot be read", index) from fault
        if len(content) > limit:
            raise Broken(f"{name} is too large", index)
        return content

    def tile(self, level: int, number: int, width: int) -> bytes:
        first = min(number << 8 * (level + 1), MAX_SIZE)
        return self._read(f"tile/{level}/{_path(number, width)}", 32 * WIDTH, first)

    def rows(self, first: int, stop: int) -> Sequence[Row]:
        number, width = first // WIDTH, stop - first
        path = _path(number, width)
        leaves = self.tile(0, number, width)
        if len(leaves) != 32 * width:
            raise Broken(f"tile/0/{path} has the wrong length", first)
        bundle = self._read(f"tile/entries/{path}", MAX_BUNDLE, first)
        lines = self._read(f"index/{path}.jsonl", MAX_INDEX, first).split(b"\n")
        if len(lines) != width + 1 or lines.pop() or max(map(len, lines)) > 2 * MAX_EVENT:
            raise Broken(f"index/{path}.jsonl has not a line for each entry", first)
        rows, at = list[Row](), 0
        for index, line in enumerate(lines, first):
            length = int.from_bytes(bundle[at : at + 2], "big")
            body, at = bundle[at + 2 : at + 2 + length], at + 2 + length
            if at > len(bundle):
                raise Broken("the bundle of entries is cut off", index)
            leaf = leaves[32 * (index - first) : 32 * (index - first + 1)]
            columns = _columns(line, index)
            rows.append(Row(leaf, body or None, columns if body or len(columns) > 1 else None))
        if at != len(bundle):
            raise Broken("the bundle holds more than its entries", stop - 1)
        return rows

    def strays(self, size: int, edge: bytes) -> Iterator[tuple[int, str]]:
        del edge  # an export has no head beside its checkpoint
        for name in sorted(self.names):
            yield size, f"a file belongs to no entry: {ascii(name)[:80]}"


def _columns(line: bytes, index: int) -> dict[str, Any]:
    try:
        columns = json.loads(line)
        if columns.pop("index") != index or type(columns["id"]) is not str:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise Broken("the index line is malformed", index) from fault
    return dict(columns)


def _path(number: int, width: int) -> str:
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups)) + ("" if width == WIDTH else f".p/{width}")


_ZIP_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError),
    *(NotImplementedError, RuntimeError, IndexError, OverflowError, MemoryError),
)


def _directory_bytes(path: Path) -> int:
    """Return how large the zip directory claims to be, before anything reads it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 98))
        tail = file.read(98)
    wide = tail[56:60] == b"PK\x06\x07"
    if tail[-22:-18] != b"PK\x05\x06" or (wide and tail[:4] != b"PK\x06\x06"):
        raise Broken("the file is no zip archive, or is cut off, or has something behind it")
    return int.from_bytes(tail[40:48] if wide else tail[-10:-6], "little")


def verify_export(
    path: str | Path, key: str | Sequence[str] | None = None, kept: Sequence[bytes] = ()
) -> Report:
    """Verify an export.

    Args:
        path: The zip file.
        key: The log's vkey, or several. Without the right one the result is UNPINNED.
        kept: Checkpoints that were kept elsewhere; the log must have grown out of them.

    Raises:
        ValueError: A key is malformed.
    """

    def check(keys: Sequence[Key]) -> Iterator[Tree]:
        if _directory_bytes(Path(path)) > MAX_DIRECTORY:
            raise Broken("the archive has too many files")
        with zipfile.ZipFile(path) as file:
            yield _Archive(file, keys, kept).check()

    return report_of(check, key, kept)


def report_of(
    check: Callable[[Sequence[Key]], Iterable[Tree]],
    key: str | Sequence[str] | None,
    kept: Sequence[bytes],
) -> Report:
    """Return what `check` yields; what cannot be read, or was asked for and is not there, is bad.

    Raises:
        ValueError: A key is malformed.
    """
    keys = [parse_key(one) for one in ([key] if isinstance(key, str) else key or ())]
    report = Report([])
    try:
        report.trees.extend(check(keys))
        wanted = [key.name for key in keys] + [open_note(note).origin for note in kept]
    except (Broken, sqlite3.Error, *_ZIP_FAULTS) as fault:
        what = str(fault) if isinstance(fault, Broken) else "the file cannot be read"
        report.trees.append(Tree("?", findings=[Finding("?", what)]))
        return report
    for name in dict.fromkeys(wanted):
        if name not in [tree.origin for tree in report.trees]:
            report.trees.append(Tree(name, findings=[Finding(name, "the log is not there")]))
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return command(verify_export, "verify.py", __doc__, argv)


def command(
    verify: Callable[[Path, Sequence[str], Sequence[bytes]], Report],
    name: str,
    manual: str,
    argv: Sequence[str] | None,
) -> int:
    """Read a command line, verify what it names, print the report, return the exit status."""
    parser = argparse.ArgumentParser(
        prog=name, description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", metavar="PATH", type=Path)
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="a log's vkey")
    parser.add_argument("--kept", action="append", default=[], metavar="FILE", type=Path)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(argv)
    try:
        kept = [path.read_bytes()[: MAX_NOTE + 1] for path in options.kept]
        report = verify(options.path, options.key, kept)
    except (ValueError, OSError) as fault:
        parser.error(f"a key or kept checkpoint cannot be used: {type(fault).__name__}")
    if options.json:
        head = {"status": report.status, "first_bad": report.first_bad}
        print(json.dumps(head | asdict(report), indent=2))
    else:
        print(_summary(report))
    return EXIT_OK if report.status == "VERIFIED" else EXIT_FAILED


def _summary(report: Report) -> str:
    lines = []
    for tree in report.trees:
        lines.append(f"{tree.origin}: {tree.size} entries, root {tree.root or 'unknown'}")
        if tree.pruned or tree.erased:
            lines.append(f"  {tree.pruned} bodies pruned, {tree.erased} sealed fields erased")
        if not tree.pinned and tree.size:
            lines.append("  UNPINNED: no key given, so anybody may have signed this checkpoint")
        lines += [f"  BAD {finding.entry}: {finding.what}" for finding in tree.findings]
    first = f": first bad entry {report.first_bad}" if report.first_bad else ""
    whole = "\n".join([*lines, report.status + first])
    return "".join(c if " " <= c <= "~" or c == "\n" else "?" for c in whole)


if __name__ == "__main__":
    sys.exit(main())
