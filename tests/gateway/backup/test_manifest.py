"""What a backup says of itself, and what is given beside it: our value or our error."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.note import LogSigner
from gateway.backup import kept
from gateway.backup.errors import BackupUnsound
from gateway.backup.manifest import File, Manifest, check_signature, decode, encode, sign
from gateway.backup.since import checkpoint_of_export

SIGNER = LogSigner("log.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))
LOG = LogSigner("log.example/acme", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
MANIFEST = Manifest(
    id="an id",
    at=1,
    version="1",
    origin="log.example",
    database="sqlite",
    checkpoints={"log.example/acme": LOG.checkpoint(7, bytes(32)).decode()},
    files=[File("audit.db", 3, "a" * 64)],
    damaged=[],
    left_out=["keystore/unlock.key"],
)
VERIFIERS = {LOG.origin: (LOG.verifier,)}


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert decode(encode(MANIFEST)) == MANIFEST
    assert MANIFEST.entries() == 7


@given(st.binary(max_size=400))
def test_foreign_bytes_are_no_manifest(data: bytes) -> None:
    with pytest.raises(BackupUnsound):
        decode(data)


@pytest.mark.parametrize(
    "change",
    [
        (b'"at": 1', b'"at": 1, "at": 2'),
        (b'"at": 1', b'"at": 1, "more": 2'),
        (b"sealgate-backup/1", b"sealgate-backup/2"),
        (b'"sqlite"', b'"oracle"'),
        (b'"at": 1', b'"at": "1"'),
    ],
)
def test_a_manifest_of_another_form_is_refused(change: tuple[bytes, bytes]) -> None:
    assert change[0] in encode(MANIFEST)
    with pytest.raises(BackupUnsound):
        decode(encode(MANIFEST).replace(*change))


def test_only_the_key_and_the_bytes_that_were_signed_are_accepted() -> None:
    data = encode(MANIFEST)
    check_signature(data, sign(data, SIGNER), SIGNER.verifier)
    other = LogSigner("log.example", Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))
    for signature in (sign(data, other), sign(data + b"\n", SIGNER), SIGNER.sign("x\n"), b"", b"x"):
        with pytest.raises(BackupUnsound):
            check_signature(data, signature, SIGNER.verifier)


@given(st.binary(max_size=300))
def test_foreign_bytes_are_no_kept_checkpoint(data: bytes) -> None:
    with pytest.raises(BackupUnsound):
        kept.missing(kept.notes_of(data) or [b""], {}, VERIFIERS, "log.example")


@pytest.mark.parametrize(("size", "lost"), [(1, {}), (7, {}), (9, {LOG.origin: 2})])
def test_what_is_missing_is_counted(size: int, lost: dict[str, int]) -> None:
    notes = [LOG.checkpoint(size, bytes(32)), LOG.checkpoint(3, bytes(32))]
    assert kept.missing(notes, {LOG.origin: 7}, VERIFIERS, "log.example") == lost
    held = [note for note in notes if note != LOG.checkpoint(9, bytes(32))]
    assert kept.not_newer(notes, {LOG.origin: 7}) == held


def test_a_log_that_the_backup_does_not_have_is_missing_as_a_whole() -> None:
    later = LogSigner("log.example/later", Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
    note = later.checkpoint(5, bytes(32))
    told = kept.missing([note], {LOG.origin: 7}, VERIFIERS, "log.example")
    assert told == {later.origin: 5}


def test_a_checkpoint_of_another_installation_is_refused() -> None:
    other = LogSigner("log.other/acme", Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
    forged = LogSigner(LOG.origin, Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32))
    for signer in (other, forged):
        with pytest.raises(BackupUnsound):
            kept.missing([signer.checkpoint(9, bytes(32))], {}, VERIFIERS, "log.example")


def test_a_checkpoint_of_any_key_of_the_log_counts() -> None:
    later = LogSigner(LOG.origin, Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
    verifiers = {LOG.origin: (later.verifier, LOG.verifier)}
    for signer in (later, LOG):
        note = signer.checkpoint(8, bytes(32))
        assert kept.missing([note], {LOG.origin: 7}, verifiers, "log.example") == {LOG.origin: 1}


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"x" * 300])
def test_foreign_bytes_are_no_export(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "export.zip").write_bytes(content)
    with pytest.raises(BackupUnsound):
        checkpoint_of_export(tmp_path / "export.zip")
