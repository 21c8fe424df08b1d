"""Payloads that are pinned stay, whatever is removed; what is damaged is told."""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.backup.archive import PAYLOADS, Writer, members
from gateway.backup.errors import BackupRefused
from gateway.backup.payloads import SPARE, Payloads


@pytest.fixture
def payloads(tmp_path: Path) -> Iterator[Payloads]:
    made = Payloads(tmp_path)
    yield made
    made.close()


def put(folder: Path, content: bytes) -> str:
    digest = sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return digest


def copied(payloads: Payloads) -> dict[str, bytes]:
    out = io.BytesIO()
    writer = Writer(out)
    for digest in payloads.digests():
        payloads.copy(digest, writer)
    writer.close()
    out.seek(0)
    return {one.name.removeprefix(PAYLOADS): b"".join(one.chunks()) for one in members(out)}


def test_a_payload_that_is_removed_after_it_was_pinned_is_copied(
    payloads: Payloads, tmp_path: Path
) -> None:
    digest = put(tmp_path, b"a model")
    payloads.take()
    (tmp_path / digest).unlink()
    assert copied(payloads) == {digest: b"a model"}


def test_the_last_look_counts(payloads: Payloads, tmp_path: Path) -> None:
    gone, stays = put(tmp_path, b"gone"), put(tmp_path, b"stays")
    payloads.take()
    (tmp_path / gone).unlink()
    comes = put(tmp_path, b"comes")
    payloads.take()
    assert copied(payloads) == {stays: b"stays", comes: b"comes"}
    assert len(payloads) == 0


def test_a_damaged_payload_is_told_and_left_out(payloads: Payloads, tmp_path: Path) -> None:
    bad, good = put(tmp_path, b"bad" * 1000), put(tmp_path, b"good")
    (tmp_path / bad).write_bytes(b"changed")
    payloads.take()
    out = io.BytesIO()
    writer = Writer(out)
    assert payloads.copy(bad, writer) is None
    assert payloads.copy(good, writer) is not None
    writer.close()
    out.seek(0)
    assert [one.name for one in members(out) if list(one.chunks())] == [PAYLOADS + good]


def test_other_files_are_passed_over(payloads: Payloads, tmp_path: Path) -> None:
    put(tmp_path, b"a model")
    (tmp_path / "something.tmp").write_bytes(b"staged")
    payloads.take()
    assert len(payloads) == 1


def test_a_name_that_is_a_link_is_refused(payloads: Payloads, tmp_path: Path) -> None:
    (tmp_path / ("a" * 64)).symlink_to("/etc/passwd")
    with pytest.raises(BackupRefused):
        payloads.take()


def test_more_than_can_be_open_are_refused_with_what_to_allow(
    payloads: Payloads, tmp_path: Path
) -> None:
    for number in range(20):
        put(tmp_path, str(number).encode())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SPARE + 19, hard))
    try:
        with pytest.raises(BackupRefused) as refused:
            payloads.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert str(SPARE + 20) in refused.value.advice


def test_closing_lets_go_of_all(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    put(tmp_path, b"one")
    one = Payloads(tmp_path)
    one.take()
    one.close()
    assert len(os.listdir("/proc/self/fd")) == before
