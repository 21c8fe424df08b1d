"""Where a partner keeps accepted kits and the newest releases it has seen.

The safety argument:

1. Nothing here trusts anything for the first time: only `accept`, which compares a hash that a
   person brings, makes a record.
2. A record that is missing, emptied or spoiled is no first run. A lock file stays behind for each
   tenant, so that what was there once is told from what never was.
3. A record is replaced whole, durably, under the lock: of two commands none loses what the other
   saw.
4. A record or folder that others may write is refused, as others could have replaced the keys.
5. Which tenant is meant is said by the reader of files, never by the gateway or the files.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.trust import RECORD_LIMIT, TrustRecord, parse_record
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.reading import appearing, cannot, read_bounded

VARIABLE: Final = "SEALGATE_TRUST"
DEFAULT: Final = Path("~/.config/sealgate/trust")
ACCEPT: Final = "sealgate partner accept KIT --sha256 HASH"
START_AGAIN: Final = f"{ACCEPT} --start-again"
_RECORD: Final = ".json"
_LOCK: Final = ".lock"


class RecordLost(CommandFailed):
    """What was trusted and seen is gone, was emptied or is spoiled."""


class TrustFolder:
    """The records of one person or machine.

    Args:
        path: The folder; it need not exist before something is accepted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def tenants(self) -> list[str]:
        """Return the tenants of which something is or was kept."""
        try:
            names = [name for name in os.listdir(self.path) if not name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot("read", self.path, error) from None
        return sorted({name.removesuffix(end) for name in names for end in _ENDS if _is(name, end)})

    def choose(self, tenant: str | None) -> str:
        """Return the tenant that is meant.

        Raises:
            CommandFailed: Nothing was accepted, or several were and none is named.
        """
        found = self.tenants()
        if tenant is None and len(found) > 1:
            what = f"you trust several tenants: {', '.join(f'`{name}`' for name in found)}"
            raise CommandFailed(what, ExitCode.USAGE, f"say whose model it is: --from {found[0]}")
        if not found or (tenant is not None and tenant not in found):
            what = "no partner's kit was accepted here"
            if tenant is not None and found:
                what = "no kit of that tenant was accepted here"
            advice = f"get one from the model's owner, then: {ACCEPT}"
            raise CommandFailed(what, ExitCode.UNVERIFIED, advice)
        return tenant or found[0]

    def load(self, tenant: str) -> TrustRecord:
        """Return what is kept of a tenant.

        Raises:
            RecordLost: It is gone, was emptied or is spoiled.
            CommandFailed: It cannot be read, or others may write it.
        """
        path = self._file(tenant, _RECORD)
        if not path.exists():  # a link to nothing is gone, too
            raise _lost(path, "is gone")
        for one in (self.path, path):
            _check_unshared(one)
        data = read_bounded(path, RECORD_LIMIT)
        if not data.strip():
            raise _lost(path, "was emptied")
        try:
            record = parse_record(data)
        except StatementInvalid:
            raise _lost(path, "was changed or cut short") from None
        if record.kit.tenant != tenant:
            raise _lost(path, "is another tenant's")
        return record

    def was_here(self, tenant: str) -> bool:
        """Whether a kit of the tenant was ever accepted here."""
        return tenant in self.tenants()

    def has_record(self, tenant: str) -> bool:
        """Whether there is a record, whole or not."""
        return os.path.lexists(self._file(tenant, _RECORD))

    def save(self, record: TrustRecord) -> None:
        """Replace what is kept of a tenant; the caller holds the lock.

        Raises:
            CommandFailed: It cannot be written.
            StatementInvalid: It would be too large.
        """
        data = record.encode()
        with appearing(self._file(record.kit.tenant, _RECORD), replace=True) as stream:
            stream.write(data)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def locked(self, tenant: str) -> Iterator[None]:
        """Hold a tenant's record; waits for another command, which is done in a moment.

        Raises:
            CommandFailed: The folder cannot be written.
        """
        path = self._file(tenant, _LOCK)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = _lock(path)
        except OSError as error:
            raise cannot("write", path, error) from None
        try:
            yield
        finally:
            os.close(handle)

    def forget(self, tenant: str) -> None:
        """Take the lock's trace back where nothing was ever kept; the caller holds the lock."""
        if not self.has_record(tenant):
            self._file(tenant, _LOCK).unlink(missing_ok=True)

    def _file(self, tenant: str, end: str) -> Path:
        return self.path / f"{tenant}{end}"


_ENDS: Final = (_RECORD, _LOCK)


def _lock(path: Path) -> int:
    """Return a file that we hold the lock of and that has that name."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        handle = os.open(path, flags, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(path), os.fstat(handle)):
                return handle
        os.close(handle)  # whoever held it took the name back


def _is(name: str, end: str) -> bool:
    return name.endswith(end) and len(name) > len(end)


def find_trust(given: Path | None) -> TrustFolder:
    """Return the folder to use: option over environment over default."""
    named = os.environ.get(VARIABLE)
    if given is None:
        given = Path(named) if named else DEFAULT.expanduser()
    return TrustFolder(given)


def _check_unshared(path: Path) -> None:
    """Refuse what others could have changed.

    Raises:
        CommandFailed: They could, or it cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise cannot("read", path, error) from None
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (os.geteuid(), 0):
        what = f"others may write `{path}`, and so change what you trust"
        advice = f"make sure that nobody did, then: chmod go-w '{path}'"
        raise CommandFailed(what, ExitCode.UNVERIFIED, advice)


def _lost(path: Path, how: str) -> RecordLost:
    return RecordLost(
        f"what you trusted and had seen {how} (`{path}`): this is not a first run",
        ExitCode.UNVERIFIED,
        f"bring it back from a backup; else get a new kit from the owner, then: {START_AGAIN}",
    )
