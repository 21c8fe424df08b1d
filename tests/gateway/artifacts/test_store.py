from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from gateway.artifacts.errors import PayloadAbsent, PayloadCorrupt, StoreError
from gateway.artifacts.store import CHUNK_LENGTH, ArtifactStore

Make = Callable[[Path], ArtifactStore]
STORES = pytest.mark.parametrize(
    "make",
    [ArtifactStore.local, lambda _: ArtifactStore(MemoryStore())],
    ids=["local", "memory"],
)
CONTENT = os.urandom(CHUNK_LENGTH + 70_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ABSENT = hashlib.sha256(b"absent").hexdigest()


def put(store: ArtifactStore, content: bytes = CONTENT) -> str:
    staged = store.stage()
    for start in range(0, len(content), 1 << 20):
        staged.write(content[start : start + (1 << 20)])
    digest = hashlib.sha256(content).hexdigest()
    staged.commit(digest)
    return digest


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@STORES
def test_round_trip_and_ranges(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path / "artifacts")
    assert not store.exists(DIGEST)
    assert put(store) == DIGEST
    assert store.exists(DIGEST)
    assert store.length(DIGEST) == len(CONTENT)
    assert list(store.read(DIGEST)) == [CONTENT[:CHUNK_LENGTH], CONTENT[CHUNK_LENGTH:]]
    for start, length in ((0, 10), (100, 2 << 20), (len(CONTENT) - 5, 5), (7, 0)):
        assert store.read_range(DIGEST, start, length) == CONTENT[start : start + length]
    for start, length in ((-1, 5), (len(CONTENT) - 5, 6), (len(CONTENT) + 1, 0)):
        with pytest.raises(PayloadCorrupt):
            store.read_range(DIGEST, start, length)


@STORES
def test_the_asynchronous_stream_is_the_same(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path / "artifacts")
    put(store)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in store.stream(DIGEST)])

    assert asyncio.run(read()) == CONTENT


@STORES
def test_what_is_there_is_not_written_over(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path / "artifacts")
    put(store)
    staged = store.stage()
    staged.write(b"something else")
    staged.commit(DIGEST)
    assert b"".join(store.read(DIGEST)) == CONTENT


@STORES
@pytest.mark.parametrize("digest", [ABSENT, "", "../staging/x", "A" * 64, "a" * 65, "a" * 63 + "/"])
def test_what_is_absent_or_no_digest_is_said_to_be(make: Make, tmp_path: Path, digest: str) -> None:
    store = make(tmp_path / "artifacts")
    put(store)
    for use in (
        lambda: list(store.read(digest)),
        lambda: store.length(digest),
        lambda: store.read_range(digest, 0, 1),
    ):
        with pytest.raises(PayloadAbsent):
            use()
    assert not store.exists(digest)
    store.delete(digest)


@STORES
def test_deleting(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path / "artifacts")
    put(store)
    store.delete(DIGEST)
    assert not store.exists(DIGEST)


def test_a_discarded_payload_leaves_no_file(tmp_path: Path) -> None:
    store = ArtifactStore.local(tmp_path)
    staged = store.stage()
    for _ in range(20):
        staged.write(os.urandom(1 << 20))
    assert files(tmp_path) != []  # some parts were written, so that removing them means something
    staged.discard()
    assert files(tmp_path) == []
    with pytest.raises(StoreError):
        staged.write(b"more")
    with pytest.raises(StoreError):
        staged.commit(DIGEST)
    staged.discard()


def test_a_commit_that_fails_leaves_no_file(tmp_path: Path) -> None:
    store = ArtifactStore.local(tmp_path)
    staged = store.stage()
    staged.write(b"x")
    (tmp_path / "payload").rmdir()
    (tmp_path / "payload").write_bytes(b"")  # a name cannot be made below a file
    with pytest.raises(StoreError):
        staged.commit(DIGEST)
    staged.discard()
    assert files(tmp_path) == ["payload"]


def test_what_dead_processes_staged_is_cleaned(tmp_path: Path) -> None:
    store = ArtifactStore.local(tmp_path)
    put(store)
    (tmp_path / "staging" / "dead").write_bytes(b"x")
    (tmp_path / "staging" / "dead#1").write_bytes(b"x")
    ArtifactStore.local(tmp_path).clean()
    assert files(tmp_path) == [f"payload/{DIGEST}"]


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    ArtifactStore.local(tmp_path / "artifacts")
    assert (tmp_path / "artifacts").stat().st_mode & 0o077 == 0
