"""Where encrypted payloads are kept: by digest, written once.

The safety argument:

1. Only ciphertext comes here; a name is the SHA-256 of the content, and nothing is overwritten.
2. Bytes are staged under a random name and get their digest's name when they are complete; with
   a local folder they are synced before that, so a named payload is durable and whole.
3. A staged upload that is discarded, or dropped with an exception, leaves nothing behind; what a
   dead process left is removed by `clean` at the next start.
4. A digest is checked before it becomes a path, so no name leads out of the store.

Methods block: call them from a worker thread. The library's own coroutines are not used, as
obstore 0.12 now and then aborts the process at its exit once they have run.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore

from gateway.artifacts.errors import PayloadAbsent, PayloadCorrupt, StoreError
from gateway.artifacts.guarded_file import sync_folder

if TYPE_CHECKING:
    from obstore import WritableFile

CHUNK_LENGTH: Final = 4 << 20  # few requests, and little memory for each download
_PART_LENGTH: Final = 8 << 20  # S3 wants parts of 5 MiB or more, and at most 10,000 of them
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PAYLOADS: Final = "payload"
_STAGING: Final = "staging"
_NAME_BYTES: Final = 16


class StagedPayload:
    """A payload on its way into the store. Ends with `commit` or `discard`."""

    def __init__(self, store: ObjectStore, name: str, folder: Path | None) -> None:
        self._store = store
        self._name = name
        self._folder = folder
        self._closed = False
        with _faults(StoreError):
            self._writer: WritableFile | None = obstore.open_writer(
                store, name, buffer_size=_PART_LENGTH
            )

    def write(self, data: bytes) -> None:
        """Append ciphertext.

        Raises:
            StoreError: The store failed, or this payload has ended.
        """
        if self._writer is None:
            raise StoreError
        with _faults(StoreError):
            self._writer.write(data)

    def commit(self, digest: str) -> None:
        """Complete the payload and give it its name; durable when it returns.

        The same payload may be there already: then it is kept and this one removed.

        Raises:
            StoreError: The store failed, or this payload has ended.
        """
        if self._writer is None:
            raise StoreError
        target = _path(digest)
        with _faults(StoreError):
            self._writer.close()
            self._writer, self._closed = None, True
            self._sync(self._name)
            try:
                obstore.rename(self._store, self._name, target, overwrite=False)
            except AlreadyExistsError:
                obstore.delete(self._store, self._name)
            self._closed = False
            self._sync(target)

    def discard(self) -> None:
        """Leave nothing behind. A second call, or one after `commit`, does nothing.

        Raises:
            StoreError: The store failed; `ArtifactStore.clean` removes what is left.
        """
        self._writer = None  # the library removes what was not closed
        if self._closed:
            self._closed = False
            with _faults(StoreError):
                obstore.delete(self._store, self._name)

    def _sync(self, name: str) -> None:
        """Sync a local file and its name. Object stores are durable when they answer."""
        if self._folder is None:
            return
        path = self._folder / name
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(path.parent)


class ArtifactStore:
    """Payloads by the SHA-256 of their encrypted bytes.

    Args:
        store: Any store of obstore: a folder, S3, Google, Azure.
        random_bytes: A cryptographic source, for the names of staged payloads.
        folder: Of a local store, to sync what is written.
    """

    def __init__(
        self,
        store: ObjectStore,
        random_bytes: Callable[[int], bytes] = os.urandom,
        *,
        folder: Path | None = None,
    ) -> None:
        self._store = store
        self._random = random_bytes
        self._folder = folder

    @classmethod
    def local(cls, folder: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> Self:
        """Keep payloads in a folder, made with mode 0700 when it is absent."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (_PAYLOADS, _STAGING):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder)
        return cls(LocalStore(folder), random_bytes, folder=folder)

    def check(self) -> None:
        """See whether payloads can be read and written now.

        Raises:
            StoreError: They cannot.
        """
        folder = self._folder
        if folder is not None and not all(
            os.access(folder / name, os.R_OK | os.W_OK | os.X_OK) for name in (_PAYLOADS, _STAGING)
        ):
            raise StoreError("the artifact store cannot be read or written")

    def stage(self) -> StagedPayload:
        """Begin a payload.

        Raises:
            StoreError: The store failed.
        """
        name = f"{_STAGING}/{self._random(_NAME_BYTES).hex()}"
        return StagedPayload(self._store, name, self._folder)

    def read(self, digest: str) -> Iterator[bytes]:
        """Yield a payload in chunks of up to `CHUNK_LENGTH`. The caller checks the digest.

        Ranges of this size come five times as fast as the library's own stream of a local file.

        Raises:
            PayloadAbsent: There is none.
            StoreError: The store failed.
        """
        total = self.length(digest)
        for start in range(0, total, CHUNK_LENGTH):
            yield self.read_range(digest, start, min(CHUNK_LENGTH, total - start), total)

    async def stream(self, digest: str) -> AsyncIterator[bytes]:
        """Yield a payload as `read` does, without blocking the event loop."""
        chunks = self.read(digest)
        while chunk := await asyncio.to_thread(next, chunks, b""):
            yield chunk

    def read_range(self, digest: str, start: int, length: int, total: int | None = None) -> bytes:
        """Return exactly `length` bytes from `start`.

        Args:
            digest: Of the payload.
            start: First byte.
            length: How many.
            total: Bytes of the payload, where the caller knows them: saves asking the store.

        Raises:
            PayloadAbsent: There is no such payload.
            PayloadCorrupt: It is shorter than that.
            StoreError: The store failed.
        """
        if start < 0 or start + length > (self.length(digest) if total is None else total):
            raise PayloadCorrupt
        if length <= 0:
            return b""
        with _faults():
            part = bytes(obstore.get_range(self._store, _path(digest), start=start, length=length))
        if len(part) != length:
            raise PayloadCorrupt
        return part

    def length(self, digest: str) -> int:
        """Return the bytes of a payload.

        Raises:
            PayloadAbsent: There is none.
            StoreError: The store failed.
        """
        with _faults():
            return obstore.head(self._store, _path(digest))["size"]

    def exists(self, digest: str) -> bool:
        """Say whether there is a payload.

        Raises:
            StoreError: The store failed.
        """
        try:
            self.length(digest)
        except PayloadAbsent:
            return False
        return True

    def delete(self, digest: str) -> None:
        """Remove a payload; does nothing when there is none.

        Raises:
            StoreError: The store failed.
        """
        try:
            with _faults():
                obstore.delete(self._store, _path(digest))
        except PayloadAbsent:
            return

    def clean(self) -> None:
        """Remove what dead processes staged. Call it at the start, as the store's only user.

        Raises:
            StoreError: The store failed.
        """
        with _faults():
            for page in obstore.list(self._store, _STAGING):
                obstore.delete(self._store, [entry["path"] for entry in page])
        if self._folder is not None:  # unfinished files are hidden from the listing
            for path in (self._folder / _STAGING).iterdir():
                path.unlink(missing_ok=True)


def _path(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise PayloadAbsent
    return f"{_PAYLOADS}/{digest}"


@contextmanager
def _faults(absent: type[StoreError] = PayloadAbsent) -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):  # the library raises one or the other
        raise absent from None
    except (BaseError, OSError) as error:
        raise StoreError from error
