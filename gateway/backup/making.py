"""A backup of a data folder, made while its gateway runs, or does not.

The safety argument. It shows one instant, as if the power had failed then:
1. While the audit log, the subjects, the control plane and the keystore are locked, for
   milliseconds, nothing is committed. Then a reader of each database takes up its state, the small
   files are read, and every payload that has a name is opened (`gateway.backup.instant`,
   `gateway.backup.payloads`). What is copied afterwards is that state, whatever happens meanwhile.
   No order of copying has to be right: a log copied before the records would lack the evidence of
   changes that the copy holds, and one copied after them would tell of changes that it lacks.
2. So each record that was acknowledged before the backup began is in it: it was durable. So the log
   verifies: its checkpoints are committed with its entries, and the pins, which are written later,
   are never ahead of it. So each payload is there that a record names: it is durable before its
   record is, and removed after it is settled how.
3. What was half done at the instant is settled by the next start, as after a loss of power
   (`gateway.composition.recovery`): its row is in the copy.
4. The secret that opens the keystore is not in it, nor is any other key in clear: what is taken is
   named here, never "the folder". The administrator's key is wrapped under the platform's key,
   before the instant: a platform key that is made afterwards is not what opens it.
5. The file appears whole or not at all: it is written elsewhere in its folder for its owner alone,
   synced, and given a name that nothing had. A full disk or a killed process leaves no such name;
   what a killed one left is removed by the next backup to the same folder.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from audit.note import LogSigner
from audit.stores.sqlite_rows import head_of
from gateway.artifacts.guarded_file import sync_folder
from gateway.backup.archive import (
    ADMINISTRATOR,
    CHUNK,
    DUMP,
    KEYS,
    MANIFEST,
    SIGNATURE,
    Writer,
)
from gateway.backup.errors import BackupRefused
from gateway.backup.instant import Instant
from gateway.backup.manifest import File, Manifest, encode, sign
from gateway.backup.payloads import Payloads
from gateway.drafts import draft

LOG: Final = "audit.db"
ADMIN_KEY: Final = "admin.key"
TAKEN: Final = ("sealgate.toml", "checkpoints.json", KEYS, "admin.json")
"""Small files that go into a backup as they are, where they exist."""
OF_THE_PROCESS: Final = frozenset({"lock", "run", "backup.json", "restore.json", "keystore/lock"})
"""What a gateway makes anew."""
MAX_SMALL_BYTES: Final = 64 << 20
DRAFT: Final = "sealgate-backup"
TRIES: Final = 60
PAUSE_SECONDS: Final = 0.5
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Again(Exception):
    """What has to stand still does not: let everything go, and try once more."""


class Dump(Protocol):
    """A control plane that is no file."""

    def frozen(self) -> AbstractContextManager[None]:
        """Take up its state, and let nothing be committed to it while the block runs.

        Raises:
            Again: A writer holds it.
        """
        ...

    def write(self, path: Path) -> None:
        """Write that state to a new file.

        Raises:
            BackupRefused: It could not be written.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is backed up.

    Attributes:
        data: The data folder.
        databases: SQLite files by their name in the backup, in the order of their locks.
        signer: Signs the manifest.
        wrap: Wraps the administrator's key.
        describe: Makes the manifest of (checkpoints, files, damaged, left out).
        dump: The control plane, where it is no file.
    """

    data: Path
    databases: Mapping[str, Path]
    signer: LogSigner
    wrap: Callable[[bytes], bytes]
    describe: Callable[[dict[str, str], list[File], list[str], list[str]], Manifest]
    dump: Dump | None = None


@dataclass(slots=True)
class _State:
    """What was read at the instant."""

    small: dict[str, bytes] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def make(source: Source, target: Path, advance: Callable[[int, int], None]) -> Manifest:
    """Make a backup.

    Args:
        source: What is backed up.
        target: The new file.
        advance: Told how many bytes of how many are done.

    Raises:
        BackupRefused: It could not be made; there is no file of that name.
    """
    with _readable(target), draft(target, DRAFT) as folder:
        instant = Instant(source.databases, source.data / "keystore" / "lock")
        payloads = Payloads(source.data / "artifacts" / "payload")
        try:
            state = _read_still(source, instant, payloads)
            archive = folder / "archive"
            manifest = _write(source, state, instant, payloads, archive, advance)
        finally:
            instant.close()
            payloads.close()
        _publish(archive, target)
    return manifest


def _read_still(source: Source, instant: Instant, payloads: Payloads) -> _State:
    """Take up the state of one instant, once everything stands still."""
    for _ in range(TRIES):
        try:
            return _read(source, instant, payloads)
        except Again:
            instant.close()
            time.sleep(PAUSE_SECONDS)
    raise BackupRefused("the control plane is written without a pause", "try again later")


def _read(source: Source, instant: Instant, payloads: Payloads) -> _State:
    state = _State()
    payloads.take()
    key = _administrator_key(source)
    if key is not None:  # before the keystore is read, which then has what it is wrapped under
        state.small[ADMINISTRATOR] = source.wrap(key)
    with instant.hold(), source.dump.frozen() if source.dump is not None else nullcontext():
        payloads.take()
        for name in TAKEN:
            with suppress(FileNotFoundError):
                state.small[name] = _small(source.data / name)
        if _administrator_key(source) != key:
            raise Again
    state.checkpoints = _heads(instant.reader(LOG))
    state.left_out = _left_out(source)
    return state


def _administrator_key(source: Source) -> bytes | None:
    with suppress(FileNotFoundError):
        return _small(source.data / ADMIN_KEY)
    return None


def _write(
    source: Source,
    state: _State,
    instant: Instant,
    payloads: Payloads,
    archive: Path,
    advance: Callable[[int, int], None],
) -> Manifest:
    sizes = {name: instant.size(name) for name in source.databases}
    total, done = 2 * sum(sizes.values()) + payloads.total(), 0
    _refuse_small_disk(archive.parent, total)

    def more(count: int) -> None:
        nonlocal done
        done += count
        advance(done, max(total, done))

    for name in sizes:
        instant.copy(name, archive.with_name(name), more)
    copies = list(sizes)
    if source.dump is not None:
        source.dump.write(archive.with_name(DUMP))
        copies.append(DUMP)
    with archive.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        writer = Writer(out)
        files = [_add(writer, name, content) for name, content in state.small.items()]
        files += [_add_file(writer, archive.with_name(name), more) for name in copies]
        damaged = []
        for digest in payloads.digests():
            copied = payloads.copy(digest, writer)
            if copied is None:
                damaged.append(digest)
            else:
                files.append(copied)
                more(copied.size)
        manifest = source.describe(state.checkpoints, files, damaged, state.left_out)
        encoded = encode(manifest)
        _add(writer, MANIFEST, encoded)
        _add(writer, SIGNATURE, sign(encoded, source.signer))
        writer.close()
        out.flush()
        os.fsync(out.fileno())
    return manifest


def _add(writer: Writer, name: str, content: bytes) -> File:
    writer.begin(name, len(content))
    writer.write(content)
    writer.end()
    return File(name, len(content), sha256(content).hexdigest())


def _add_file(writer: Writer, path: Path, more: Callable[[int], None]) -> File:
    """Move a file into the archive."""
    size, hashed = path.stat().st_size, sha256()
    writer.begin(path.name, size)
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            hashed.update(data)
            writer.write(data)
            more(len(data))
    writer.end()
    path.unlink()
    return File(path.name, size, hashed.hexdigest())


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_SMALL_BYTES + 1)
    if len(content) > MAX_SMALL_BYTES:
        raise BackupRefused(f"`{path.name}` is far larger than such a file is", "look what it is")
    return content


def _heads(log: sqlite3.Connection) -> dict[str, str]:
    tenants = [row[0] for row in log.execute("SELECT tenant FROM tree ORDER BY tenant")]
    heads = [head_of(log, tenant) for tenant in tenants]
    notes = [head.note.decode() for head in heads if head is not None]
    return {note.split("\n", 1)[0]: note for note in notes}


def _left_out(source: Source) -> list[str]:
    """Name what is in the data folder and in no backup."""
    known = {*TAKEN, *OF_THE_PROCESS, ADMIN_KEY, "artifacts", "federation", "keystore"}
    for name in ("audit.db", "subjects.db", "control.db"):
        known |= {name, f"{name}-wal", f"{name}-shm"}
    names = {path.name for path in source.data.iterdir()}
    names |= {f"keystore/{path.name}" for path in (source.data / "keystore").iterdir()}
    return sorted(name for name in names - known if not name.endswith(".new"))


def _refuse_small_disk(folder: Path, needed: int) -> None:
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise BackupRefused(
            f"the backup needs up to {needed >> 20} MiB, and its disk has {free >> 20} MiB left",
            "make room, or name a folder of another disk",
        )


def _publish(archive: Path, target: Path) -> None:
    """Give the finished file its name, unless something has it."""
    taken = BackupRefused("there is something of that name already", "give the backup another name")
    try:
        os.link(archive, target)
    except FileExistsError:
        raise taken from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise taken from None
        os.rename(archive, target)
    sync_folder(target.parent)


@contextmanager
def _readable(target: Path) -> Iterator[None]:
    """Tell faults of disks in words."""
    try:
        yield
    except (OSError, sqlite3.Error) as fault:
        code = getattr(fault, "errno", None)
        name = getattr(fault, "sqlite_errorname", "") or errno.errorcode.get(code or 0, "")
        if code in _FULL or name == "SQLITE_FULL" or name == "SQLITE_IOERR_WRITE":
            what = f"there is no room for the backup in {target.parent} ({name})"
            raise BackupRefused(what, "make room, or name a folder of another disk") from fault
        what = f"the backup cannot be made ({name or type(fault).__name__})"
        advice = f"see whether {target.parent} can be written, and sealgate doctor"
        raise BackupRefused(what, advice) from fault
