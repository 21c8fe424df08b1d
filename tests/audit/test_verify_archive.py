"""The verifier against files that are no proper archive: each ends as a finding."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import verify
from tests.audit.exports import FIRST, KEY, Archive, first_bad


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.pop("tile/entries/000"),
        lambda files: files.pop("tile/0/001.p/44"),
        lambda files: files.pop("index/000.jsonl"),
        lambda files: files.pop("checkpoint"),
        lambda files: files.pop("export.json"),
        lambda files: files.update({"export.json": b"{"}),
        lambda files: files.update({"export.json": b"[]"}),
        lambda files: files.update({"export.json": b"[" * 60_000}),
        lambda files: files.update({"checkpoint": b""}),
        lambda files: files.update({"checkpoint": b"x" * 100_000}),
        lambda files: files.update({"tile/0/000": bytes(1 << 20)}),
        lambda files: files.update({"tile/entries/000": b"\xff" * 100}),
        lambda files: files.update({"tile/entries/000": files["tile/entries/000"] + b"\0\0"}),
        lambda files: files.update({"tile/entries/000": b"\0\1[" * 256}),
        lambda files: files.update({"index/000.jsonl": b"null\n" * 256}),
        lambda files: files.update({"index/000.jsonl": b"{}\n" * 255}),
        lambda files: files.update({"index/000.jsonl": b"[" * 100_000 + b"\n" * 256}),
        lambda files: files.update({"surprise": b""}),
    ],
)
def test_a_broken_archive_is_a_finding(
    archive: Archive, change: Callable[[dict[str, bytes]], object]
) -> None:
    change(archive.files)
    first_bad(archive.write())


def test_a_bomb_is_not_unpacked(archive: Archive) -> None:
    archive.files["tile/entries/000"] = bytes(64 << 20)
    assert first_bad(archive.write()) == f"{FIRST}0"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(archive: Archive) -> None:
    archive.write()
    with zipfile.ZipFile(archive.path, "a") as twice:
        twice.writestr("checkpoint", archive.files["checkpoint"])
    first_bad(archive.path)


def test_another_compression_is_refused(archive: Archive) -> None:
    with zipfile.ZipFile(archive.path, "w", zipfile.ZIP_LZMA) as made:
        for name, content in archive.files.items():
            made.writestr(name, content)
    first_bad(archive.path)


def test_a_huge_directory_is_refused_before_it_is_read(archive: Archive) -> None:
    content = bytearray(archive.write().read_bytes())
    content[-10:-6] = (1 << 30).to_bytes(4, "little")
    archive.path.write_bytes(content)
    assert first_bad(archive.path) == "?"


def test_a_cut_archive_is_refused_wherever_it_is_cut(archive: Archive) -> None:
    content = archive.write().read_bytes()
    for length in (0, 1, 21, 22, 100, len(content) // 2, len(content) - 1):
        archive.path.write_bytes(content[:length])
        first_bad(archive.path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_bytes_fail_or_change_nothing(archive: Archive, data: st.DataObject) -> None:
    content = bytearray(archive.write().read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    changed = archive.path.with_name("changed.zip")
    changed.write_bytes(content)
    report = verify.verify_export(changed, KEY)
    if report.status == "VERIFIED":  # a byte of the container that means nothing, like a date
        assert report.trees[0].size == 300
        assert contents(changed) == archive.files


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@given(st.binary(max_size=300))
def test_any_file_ends_as_a_report(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(raw)
    assert verify.verify_export(path, KEY).status == "FAILED"


@given(st.text(max_size=100))
def test_any_key_is_a_key_or_a_value_error(vkey: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of which kind does not matter
        verify.parse_key(vkey)


def test_the_first_export_format_is_verified_for_ever() -> None:
    kept = Path(__file__).parents[1] / "vectors" / "audit" / "export-v1.zip"
    vkey = "log.example/acme+fc76552b+AS+dK2Pl0vohjaSgVsWaRpbYoyuY4BA2s4GzE2pyXK/u"
    report = verify.verify_export(kept, vkey)
    (tree,) = report.trees
    assert report.status == "VERIFIED"
    assert (tree.size, tree.pruned) == (272, 16)
    assert tree.root == "7295356fa21e00913ccd725f1409bd26f0c77800ccf61bdd88d3900ec7e3386c"
