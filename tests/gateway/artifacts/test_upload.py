from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.artifacts.age import (
    Identity,
    PayloadEncryptor,
    decrypt_range,
    decrypt_stream,
    generate_identity,
    read_header,
)
from gateway.artifacts.errors import (
    KeyUnavailable,
    PayloadAbsent,
    PayloadCorrupt,
    RecipientInvalid,
    RecipientsMixed,
    UploadTooLarge,
    UploadTruncated,
)
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.store import ArtifactStore
from gateway.artifacts.unlock import KeyFile
from gateway.artifacts.upload import SealedPayload, Sealer

CONTENT = os.urandom(2_500_000)
LIMIT = 16 << 20
T = TypeVar("T")


async def seal_stream(
    sealer: Sealer, tenant: str, chunks: AsyncIterator[bytes], **bounds: Any
) -> SealedPayload:
    """Stage what arrives, and store it."""
    sealing = await sealer.stage_stream(tenant, chunks, **bounds)
    sealing.commit()
    return sealing.payload


@pytest.fixture
def keys(tmp_path: Path) -> LocalKeyStore:
    made = LocalKeyStore.create(tmp_path / "keystore", KeyFile(tmp_path / "root.key"))
    made.create_tenant("acme")
    made.create_tenant("other")
    return made


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.local(tmp_path / "artifacts")


@pytest.fixture
def sealer(keys: LocalKeyStore, store: ArtifactStore) -> Sealer:
    return Sealer(keys, store, os.urandom)


async def pieces(content: bytes = CONTENT, size: int = 65_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]


def test_a_stream_is_sealed_and_opened(sealer: Sealer, store: ArtifactStore) -> None:
    sealed = run(seal_stream(sealer, "acme", pieces(), limit=LIMIT, expected_length=len(CONTENT)))
    assert sealed.plain_digest == hashlib.sha256(CONTENT).hexdigest()
    assert sealed.plain_length == len(CONTENT)
    payload = b"".join(store.read(sealed.digest))
    assert (hashlib.sha256(payload).hexdigest(), len(payload)) == (sealed.digest, sealed.length)
    with sealer.open_payload("acme", sealed) as content:
        assert bytes(content) == CONTENT
    assert content.closed


def test_bytes_are_sealed_and_opened(sealer: Sealer) -> None:
    first = sealer.seal_bytes("acme", memoryview(CONTENT), "graph")
    with sealer.open_payload("acme", first) as content:
        second = sealer.seal_bytes("acme", content, "graph")
        assert bytes(content) == CONTENT
    assert first.plain_digest == second.plain_digest
    assert first.digest != second.digest


def test_no_plaintext_reaches_the_disk(sealer: Sealer, tmp_path: Path) -> None:
    canary = os.urandom(4096)
    model = os.urandom(1_000_000) + canary + os.urandom(1_000_000)
    sealed = run(seal_stream(sealer, "acme", pieces(model), limit=LIMIT))
    again = sealer.seal_bytes("acme", model, "graph")
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in found} >= {sealed.digest, again.digest, "keys", "root.key"}
    marks = [canary[start : start + 16] for start in range(0, len(canary), 64)]
    for path in found:
        data = path.read_bytes()
        assert not any(mark in data for mark in marks), path
    assert any(mark in model for mark in marks)


@pytest.mark.parametrize("length", [len(CONTENT) + 1, LIMIT])
def test_a_truncated_upload_leaves_nothing(sealer: Sealer, tmp_path: Path, length: int) -> None:
    with pytest.raises(UploadTruncated):
        run(seal_stream(sealer, "acme", pieces(), limit=LIMIT, expected_length=length))
    assert stored(tmp_path) == []


def test_an_empty_upload_is_truncated(sealer: Sealer, tmp_path: Path) -> None:
    for expected in (None, 0):
        with pytest.raises(UploadTruncated):
            run(seal_stream(sealer, "acme", pieces(b""), limit=9, expected_length=expected))
    with pytest.raises(UploadTruncated):
        sealer.seal_bytes("acme", b"", "graph")
    assert stored(tmp_path) == []


def test_an_upload_stops_as_soon_as_it_is_too_large(sealer: Sealer, tmp_path: Path) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 65_536
            yield bytes(65_536)

    for limit, expected in ((3_000_000, None), (LIMIT, 3_000_000)):
        taken = 0
        with pytest.raises(UploadTooLarge):
            run(seal_stream(sealer, "acme", endless(), limit=limit, expected_length=expected))
        assert taken <= 3_000_000 + 65_536
    taken = 0
    with pytest.raises(UploadTooLarge):
        run(seal_stream(sealer, "acme", endless(), limit=10, expected_length=11))
    assert taken == 0
    assert stored(tmp_path) == []


def test_a_broken_connection_leaves_nothing(sealer: Sealer, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(1 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        run(seal_stream(sealer, "acme", broken(), limit=64 << 20))
    assert stored(tmp_path) == []


def test_a_cancelled_upload_leaves_nothing(sealer: Sealer, tmp_path: Path) -> None:
    async def cancelled() -> None:
        waiting = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield bytes(1 << 20)
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(seal_stream(sealer, "acme", stalled(), limit=64 << 20))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())
    assert stored(tmp_path) == []


def test_without_a_key_nothing_is_stored(
    sealer: Sealer, keys: LocalKeyStore, tmp_path: Path
) -> None:
    keys.destroy("acme")
    with pytest.raises(KeyUnavailable):
        run(seal_stream(sealer, "acme", pieces(), limit=LIMIT))
    with pytest.raises(KeyUnavailable):
        sealer.seal_bytes("acme", CONTENT, "graph")
    assert stored(tmp_path) == []


def test_a_destroyed_key_shreds_the_payloads(sealer: Sealer, keys: LocalKeyStore) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    keys.destroy("acme")
    with pytest.raises(KeyUnavailable):
        sealer.open_payload("acme", sealed)
    with pytest.raises(KeyUnavailable):
        sealer.header_for("acme", sealed, [generate_identity(os.urandom).recipient])


def test_another_tenant_opens_nothing(sealer: Sealer) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    with pytest.raises(KeyUnavailable):
        sealer.open_payload("other", sealed)


def test_an_altered_payload_is_refused_before_use(sealer: Sealer, tmp_path: Path) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    path = tmp_path / "artifacts" / "payload" / sealed.digest
    good = path.read_bytes()
    for altered in (
        good[:-1],
        good + b"x",
        good[:20] + bytes([good[20] ^ 1]) + good[21:],
        good[:-1] + bytes([good[-1] ^ 1]),
        b"",
    ):
        path.write_bytes(altered)
        with pytest.raises(PayloadCorrupt):
            sealer.open_payload("acme", sealed)
    path.unlink()
    with pytest.raises(PayloadAbsent):
        sealer.open_payload("acme", sealed)


def test_a_payload_forged_with_the_file_key_is_refused(
    sealer: Sealer, keys: LocalKeyStore, tmp_path: Path
) -> None:
    """A recipient knows the file key, so a valid payload is not yet the signed one."""
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    site = generate_identity(os.urandom)
    header = sealer.header_for("acme", sealed, [site.recipient])
    file_key = read_header(io.BytesIO(header)).open([site])
    encryptor = PayloadEncryptor(file_key, os.urandom)
    forged = encryptor.update(b"\0" * len(CONTENT)) + encryptor.finish()
    (tmp_path / "artifacts" / "payload" / sealed.digest).write_bytes(forged)
    with pytest.raises(PayloadCorrupt):
        sealer.open_payload("acme", sealed)


def deliver(sealer: Sealer, store: ArtifactStore, sealed: SealedPayload, to: Identity) -> bytes:
    header = sealer.header_for("acme", sealed, [to.recipient])
    stream = io.BytesIO(header + b"".join(store.read(sealed.digest)))
    return b"".join(decrypt_stream(read_header(stream).open([to]), stream))


@pytest.mark.parametrize("post_quantum", [False, True])
def test_a_payload_is_delivered_to_one_kind_of_key(
    sealer: Sealer, store: ArtifactStore, post_quantum: bool
) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph", post_quantum=post_quantum)
    right = generate_identity(os.urandom, post_quantum=post_quantum)
    wrong = generate_identity(os.urandom, post_quantum=not post_quantum)
    assert deliver(sealer, store, sealed, right) == CONTENT
    for recipients in ([wrong.recipient], [right.recipient, wrong.recipient]):
        with pytest.raises(RecipientsMixed):
            sealer.header_for("acme", sealed, recipients)
    flipped = dataclasses.replace(sealed, post_quantum=not post_quantum)
    with pytest.raises(KeyUnavailable):  # the kind is bound to the wrapped key
        sealer.header_for("acme", flipped, [wrong.recipient])


def test_header_for_nobody_or_nonsense_is_refused(sealer: Sealer) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    for recipients in ([], ["age1nonsense"]):
        with pytest.raises(RecipientInvalid):
            sealer.header_for("acme", sealed, recipients)


def test_a_range_of_a_stored_payload(sealer: Sealer, store: ArtifactStore) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    site = generate_identity(os.urandom)
    header = sealer.header_for("acme", sealed, [site.recipient])
    file_key = read_header(io.BytesIO(header)).open([site])
    part = decrypt_range(
        file_key, lambda o, n: store.read_range(sealed.digest, o, n), sealed.length, 70_000, 5_000
    )
    assert part == CONTENT[70_000:75_000]


def test_removing(sealer: Sealer, tmp_path: Path) -> None:
    sealed = sealer.seal_bytes("acme", CONTENT, "graph")
    sealer.remove(sealed.digest)
    sealer.remove(sealed.digest)
    assert stored(tmp_path) == []
