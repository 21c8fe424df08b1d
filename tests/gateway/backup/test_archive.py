"""The file of a backup: one form, and nothing else is read."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backup.archive import (
    BLOCK,
    PAYLOADS,
    Writer,
    header_of,
    is_member,
    members,
)
from gateway.backup.errors import BackupUnsound
from tests.tools import require_tool

PAYLOAD = PAYLOADS + "a" * 64
CONTENT = {"sealgate.toml": b"port = 1\n", "audit.db": bytes(1024), PAYLOAD: b"x" * 700}


def written(content: dict[str, bytes] = CONTENT) -> bytes:
    out = io.BytesIO()
    writer = Writer(out)
    for name, data in content.items():
        writer.begin(name, len(data))
        writer.write(data)
        writer.end()
    writer.close()
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    return {one.name: b"".join(one.chunks()) for one in members(io.BytesIO(data))}


def test_what_is_written_is_read() -> None:
    assert read(written()) == CONTENT


def test_a_member_that_is_taken_back_was_never_there() -> None:
    out = io.BytesIO()
    writer = Writer(out)
    for name in ("sealgate.toml", PAYLOAD):
        writer.begin(name, 3)
        writer.write(b"abc")
        writer.end()
    writer.take_back()
    writer.close()
    assert read(out.getvalue()) == {"sealgate.toml": b"abc"}


@pytest.mark.e2e
def test_any_tar_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.backup").write_bytes(written())
    words = [require_tool("tar"), "-tf", str(tmp_path / "a.backup")]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    assert told.stdout.split() == list(CONTENT)
    with tarfile.open(tmp_path / "a.backup") as archive:
        assert [one.mode for one in archive] == [0o600] * 3


@given(st.binary(max_size=3000))
def test_foreign_bytes_are_our_error(data: bytes) -> None:
    with pytest.raises(BackupUnsound):
        read(data)


@given(st.integers(0, len(written()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_an_error_or_changes_a_content(at: int, by: int) -> None:
    data = bytearray(written())
    data[at] ^= by
    try:
        found = read(bytes(data))
    except BackupUnsound:
        return
    digests = {name: sha256(one).digest() for name, one in found.items()}
    assert digests != {name: sha256(one).digest() for name, one in CONTENT.items()}


@given(st.integers(0, len(written()) - 1))
def test_a_cut_is_an_error(length: int) -> None:
    with pytest.raises(BackupUnsound):
        read(written()[:length])


def foreign(**changes: object) -> bytes:
    info = tarfile.TarInfo(str(changes.pop("name", "sealgate.toml")))
    info.mode = 0o600
    for name, value in changes.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


HEADERS: dict[str, Callable[[], bytes]] = {
    "symbolic link": lambda: foreign(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": lambda: foreign(type=tarfile.LNKTYPE, linkname="audit.db"),
    "folder": lambda: foreign(type=tarfile.DIRTYPE),
    "device": lambda: foreign(type=tarfile.CHRTYPE),
    "pipe": lambda: foreign(type=tarfile.FIFOTYPE),
    "sparse file": lambda: foreign(type=tarfile.GNUTYPE_SPARSE),
    "long name": lambda: foreign(type=tarfile.GNUTYPE_LONGNAME),
    "extension": lambda: foreign(type=tarfile.XHDTYPE),
    "set-user-id": lambda: foreign(mode=0o4755),
    "absolute path": lambda: foreign(name="/etc/cron.d/x"),
    "path upwards": lambda: foreign(name="../../x"),
    "path upwards inside": lambda: foreign(name="artifacts/payload/../../keystore/keys"),
    "another file": lambda: foreign(name="run/x"),
    "unlock key": lambda: foreign(name="keystore/unlock.key"),
    "size that ends nowhere": lambda: header_of("sealgate.toml", 1 << 62),
    "negative size": lambda: foreign(size=-7),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_member_of_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(BackupUnsound):
        read(HEADERS[kind]() + bytes(4 * BLOCK))


def test_a_name_that_occurs_twice_is_refused() -> None:
    one = written({"audit.db": b"first"})[: 2 * BLOCK]
    with pytest.raises(BackupUnsound, match="twice"):
        read(one + written({"audit.db": b"second"}))


@pytest.mark.parametrize("more", [b"\0", bytes(BLOCK), b"x" * BLOCK, written()])
def test_nothing_stands_behind_the_end(more: bytes) -> None:
    with pytest.raises(BackupUnsound, match="behind"):
        read(written() + more)


@given(st.text(max_size=120))
def test_only_named_files_are_members(name: str) -> None:
    assert not is_member(name) or "/" not in name or name.startswith((PAYLOADS, "keystore/keys"))
    assert ".." not in name or not is_member(name)


def test_sizes_beyond_octal_are_told() -> None:
    assert len(header_of(PAYLOAD, 1 << 40)) == BLOCK
