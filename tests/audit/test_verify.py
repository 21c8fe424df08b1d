"""The verifier against exports: what is whole passes, every single change is found and named."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from audit import verify
from audit.event import PRUNE_ACTION
from audit.export import export_log
from tests.audit.exports import FIRST, KEY, Archive, exported, first_bad, log_of, reader_of
from tests.audit.samples import event, signer, started


def test_a_whole_export_is_verified(archive: Archive) -> None:
    report = verify.verify_export(archive.write(), KEY)
    assert report.status == "VERIFIED"
    (tree,) = report.trees
    assert (tree.origin, tree.size, tree.pinned) == ("log.example/acme", 300, True)


def test_the_same_log_gives_the_same_export(tmp_path: Path) -> None:
    store = log_of(event(), event())
    assert exported(store) == exported(store)
    summary = export_log(reader_of(store), "acme", io.BytesIO())
    assert (summary.origin, summary.size, summary.pruned) == ("log.example/acme", 2, 0)


def test_without_a_key_it_is_unpinned(archive: Archive) -> None:
    report = verify.verify_export(archive.write())
    assert report.status == "UNPINNED"
    assert verify.main([str(archive.path)]) == 6


def test_the_key_of_another_log_does_not_verify_it(archive: Archive) -> None:
    assert first_bad(archive.write(), signer("globex").verifier_key) == "log.example/globex"


def test_another_key_under_the_same_name_does_not_verify_it(archive: Archive) -> None:
    forged = signer("acme").sign(archive.files["checkpoint"].decode().rpartition("\n\n")[0] + "\n")
    line = forged.decode().rpartition(" ")
    archive.files["checkpoint"] = f"{line[0]} {line[2][:8]}{'A' * 80}{line[2][88:]}".encode()
    assert first_bad(archive.write()) == "log.example/acme"


@pytest.mark.parametrize("index", [0, 1, 255, 256, 299])
def test_a_flipped_byte_of_an_event_names_it(archive: Archive, index: int) -> None:
    name = "tile/entries/000" if index < 256 else "tile/entries/001.p/44"
    marker = b'"reason":"r%d"' % index
    assert marker in archive.files[name]
    archive.files[name] = archive.files[name].replace(marker, b'"reason":"R%d"' % index)
    assert first_bad(archive.write()) == f"{FIRST}{index}"


@pytest.mark.parametrize("index", [0, 255, 256, 299])
def test_a_flipped_byte_of_a_tile_names_its_entry(archive: Archive, index: int) -> None:
    name = "tile/0/000" if index < 256 else "tile/0/001.p/44"
    content = bytearray(archive.files[name])
    content[32 * (index % 256) + 7] ^= 1
    archive.files[name] = bytes(content)
    assert first_bad(archive.write()) == f"{FIRST}{index}"


def test_a_flipped_byte_of_a_higher_tile_names_its_first_entry(archive: Archive) -> None:
    content = bytearray(archive.files["tile/1/000.p/1"])
    content[3] ^= 1
    archive.files["tile/1/000.p/1"] = bytes(content)
    assert first_bad(archive.write()) == f"{FIRST}0"


def test_every_flipped_byte_of_the_checkpoint_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(exported(log_of(event(), event())))) as small:
        archive = Archive(tmp_path / "x.zip", {n: small.read(n) for n in small.namelist()})
    note = archive.files["checkpoint"]
    for at in range(len(note)):
        for bits in (1, 3, 128):
            archive.files["checkpoint"] = note[:at] + bytes([note[at] ^ bits]) + note[at + 1 :]
            first_bad(archive.write())


@pytest.mark.parametrize(
    "column", ["index", "id", "ts", "actor_ref", "action", "outcome", "model_id", "subject_refs"]
)
def test_an_edited_index_column_names_its_entry(archive: Archive, column: str) -> None:
    lines = archive.files["index/001.p/44.jsonl"].split(b"\n")
    row = json.loads(lines[4])
    row[column] = row[column][:-1] if isinstance(row[column], str | list) else row[column] + 1
    lines[4] = json.dumps(row).encode()
    archive.files["index/001.p/44.jsonl"] = b"\n".join(lines)
    assert first_bad(archive.write()) == f"{FIRST}260"


def test_a_column_that_no_event_has_is_found(archive: Archive) -> None:
    name = "index/001.p/44.jsonl"
    archive.files[name] = archive.files[name].replace(b'{"index":256', b'{"note":"x","index":256')
    assert first_bad(archive.write()) == f"{FIRST}256"


def test_a_body_set_to_null_as_if_pruned_is_named(archive: Archive) -> None:
    null_body(archive, 256, 300, 258)
    assert first_bad(archive.write()) == f"{FIRST}258"


def null_body(archive: Archive, first: int, stop: int, victim: int) -> None:
    """Cut an entry out of its bundle and its index line, like a real pruning."""
    path = "001.p/44" if first else "000"
    bundle, out, at = archive.files[f"tile/entries/{path}"], b"", 0
    for index in range(first, stop):
        length = int.from_bytes(bundle[at : at + 2], "big")
        out += b"\0\0" if index == victim else bundle[at : at + 2 + length]
        at += 2 + length
    archive.files[f"tile/entries/{path}"] = out
    lines = archive.files[f"index/{path}.jsonl"].split(b"\n")
    row = json.loads(lines[victim - first])
    lines[victim - first] = json.dumps({"index": row["index"], "id": row["id"]}).encode()
    archive.files[f"index/{path}.jsonl"] = b"\n".join(lines)


def test_a_pruning_with_its_event_is_verified(tmp_path: Path) -> None:
    store = log_of(*(event() for _ in range(6)))
    with started(store) as log:
        log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((4, 5), (0, 3))))
    path = tmp_path / "export.zip"
    path.write_bytes(exported(store))
    report = verify.verify_export(path, KEY)
    assert (report.status, report.trees[0].pruned) == ("VERIFIED", 4)
    store.prune("acme", [(3, 4)])
    path.write_bytes(exported(store))
    assert first_bad(path) == f"{FIRST}3"


@pytest.mark.parametrize(
    "prune",
    [
        {"outcome": "deny", "pruned": ((0, 3),)},
        {"action": "infer"},
        {"outcome": "done", "pruned": ((0, 1), (2, 9))},
    ],
)
def test_only_an_allowed_prune_event_covers_a_missing_body(
    tmp_path: Path, prune: dict[str, Any]
) -> None:
    store = log_of(event(), event(), event(**({"action": PRUNE_ACTION} | prune)))
    store.prune("acme", [(1, 2)])
    path = tmp_path / "export.zip"
    path.write_bytes(exported(store))
    assert first_bad(path) == f"{FIRST}1"


def test_an_event_cannot_prune_what_comes_after_it(tmp_path: Path) -> None:
    store = log_of(event(action=PRUNE_ACTION, outcome="done", pruned=((0, 9),)), event())
    store.prune("acme", [(1, 2)])
    path = tmp_path / "export.zip"
    path.write_bytes(exported(store))
    assert first_bad(path) == f"{FIRST}1"


def test_a_tail_behind_the_checkpoint_is_found(archive: Archive) -> None:
    archive.files["tile/entries/002.p/1"] = b"\0\2{}"
    assert first_bad(archive.write()) == f"{FIRST}300"


def test_a_tail_cut_off_with_an_older_checkpoint_is_found_by_a_kept_one(
    tmp_path: Path,
) -> None:
    store = log_of(*(event() for _ in range(5)))
    path, older = tmp_path / "export.zip", tmp_path / "older.zip"
    older.write_bytes(exported(store))
    with started(store) as log:
        log.append_blocking(event())
    path.write_bytes(exported(store))
    kept = tmp_path / "kept"
    with zipfile.ZipFile(path) as whole:
        kept.write_bytes(whole.read("checkpoint"))
    assert verify.verify_export(older, KEY).status == "VERIFIED"
    assert verify.main([str(older), "--key", KEY, "--kept", str(kept)]) == 6
    with zipfile.ZipFile(older) as part:
        kept.write_bytes(part.read("checkpoint"))
    assert verify.main([str(path), "--key", KEY, "--kept", str(kept)]) == 0
    kept.write_bytes(signer("acme").checkpoint(5, bytes(32)))
    assert verify.main([str(path), "--key", KEY, "--kept", str(kept)]) == 6


def test_every_kept_checkpoint_of_one_size_counts(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    path.write_bytes(exported(log_of(event(), event())))
    with zipfile.ZipFile(path) as whole:
        true = whole.read("checkpoint")
    other = signer("acme").checkpoint(2, bytes(32))
    for kept in ([true, other], [other, true]):
        report = verify.verify_export(path, KEY, kept)
        assert (report.status, report.first_bad) == ("FAILED", f"{FIRST}1")


def test_a_duplicate_event_id_is_named(tmp_path: Path) -> None:
    one = event()
    store = log_of(event(), one, event())
    store._trees["acme"].ids.clear()
    with started(store) as log:
        log.append_blocking(one)
    path = tmp_path / "export.zip"
    path.write_bytes(exported(store))
    assert first_bad(path) == f"{FIRST}3"


def test_an_event_of_another_tenant_is_named(tmp_path: Path) -> None:
    store = log_of(event("globex"))
    store._trees["acme"] = store._trees["globex"]
    state = store._trees["acme"].state
    note = signer("globex").verifier.open_checkpoint(state.note)
    forged = signer("acme").checkpoint(1, note.root)
    store._trees["acme"].state = state._replace(note=forged)
    path = tmp_path / "export.zip"
    path.write_bytes(exported(store))
    assert first_bad(path) == f"{FIRST}0"
