"""The verifier against the log's own SQLite file, as an insider with write access leaves it."""
# ruff: noqa: S608 - the statements are the insider's, and fixed

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from audit import verify_folder
from audit.event import ERASE_ACTION, PRUNE_ACTION, columns, encode
from audit.ports import SealedField
from audit.stores.sqlite import SqliteLogStore
from audit.tree import leaf_hash
from tests.audit.samples import event, ref, signer, started

KEYS = [signer("acme").verifier_key, signer("globex").verifier_key]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "audit.db"
    store = SqliteLogStore(path)
    with started(store) as log:
        for number in range(300):
            subject = ref(number)
            log.append_blocking(
                event(subject_refs=(subject,), reason=f"r{number}"),
                [SealedField(subject, b"sealed %d" % number)],
            )
        log.append_blocking(event("globex"))
        log.append_blocking(event("globex", action="promote"))
    store.close()
    return path


@pytest.fixture
def path(tmp_path: Path, original: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "audit.db"))


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, "the statement changed nothing"


def first_bad(path: Path) -> str | None:
    report = verify_folder.verify_folder(path, KEYS)
    assert report.status == "FAILED"
    return report.first_bad


def test_a_whole_file_or_its_folder_is_verified_with_a_key_for_each_tree(path: Path) -> None:
    for place in (path, path.parent):
        report = verify_folder.verify_folder(place, KEYS)
        assert report.status == "VERIFIED"
        assert [(tree.origin, tree.size) for tree in report.trees] == [
            ("log.example/acme", 300),
            ("log.example/globex", 2),
        ]
    assert verify_folder.verify_folder(path, KEYS[:1]).status == "UNPINNED"
    assert verify_folder.verify_folder(path).status == "UNPINNED"


def flip(path: Path, table: str, column: str, where: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        query = f"SELECT {column} FROM {table} WHERE {where}"
        (value,) = connection.execute(query).fetchone()
        changed: object
        if isinstance(value, bytes):
            changed = value[:7] + bytes([value[7] ^ 1]) + value[8:]
        elif isinstance(value, str):
            changed = value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        else:
            changed = value ^ 1
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (changed,))


HERE = "tree = 1 AND idx = 270"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("body", "bytes"),
        ("body", "ts"),
        ("body", "actor_ref"),
        ("body", "action"),
        ("body", "outcome"),
        ("body", "model_id"),
        ("seq", "id"),
        ("seq", "leaf_hash"),
        ("subject", "ref"),
        ("sealed", "ref"),
        ("sealed", "ct"),
    ],
)
def test_one_flip_in_a_row_names_its_entry(path: Path, table: str, column: str) -> None:
    flip(path, table, column, HERE)
    assert first_bad(path) == "log.example/acme/270"


@pytest.mark.parametrize(("level", "number"), [(0, 0), (1, 0)])
def test_one_flip_in_a_tile_names_its_first_entry(path: Path, level: int, number: int) -> None:
    flip(path, "tile", "bytes", f"tree = 1 AND level = {level} AND n = {number}")
    assert first_bad(path) == "log.example/acme/0"


def test_one_flip_in_a_leaf_of_a_full_tile_names_its_entry(path: Path) -> None:
    flip(path, "seq", "leaf_hash", "tree = 1 AND idx = 255")
    assert first_bad(path) == "log.example/acme/255"


@pytest.mark.parametrize(
    ("table", "column"),
    [("checkpoint", "note"), ("checkpoint", "size"), ("tree", "size"), ("tree", "frontier")],
)
def test_one_flip_in_the_head_is_found(path: Path, table: str, column: str) -> None:
    flip(path, table, column, "id = 1" if table == "tree" else "tree = 1")
    first_bad(path)


@pytest.mark.parametrize(
    ("statements", "entry"),
    [
        (["DELETE FROM body WHERE tree = 1 AND idx = 7"], "log.example/acme/7"),
        (
            [f"DELETE FROM {t} WHERE tree = 1 AND idx = 7" for t in ("body", "subject", "sealed")],
            "log.example/acme/7",
        ),
        (["DELETE FROM sealed WHERE tree = 1 AND idx = 9"], "log.example/acme/9"),
        (["DELETE FROM seq WHERE tree = 1 AND idx = 5"], "log.example/acme/5"),
        (["DELETE FROM seq WHERE tree = 1 AND idx = 299"], "log.example/acme/299"),
        (["DELETE FROM subject WHERE tree = 1 AND idx = 5"], "log.example/acme/5"),
        (["INSERT INTO subject VALUES (1, 'sub_x', 5)"], "log.example/acme/5"),
        (["INSERT INTO sealed VALUES (1, 5, 1, 'sub_x', X'00')"], "log.example/acme/5"),
        (["INSERT INTO subject VALUES (1, 'sub_x', 300)"], "log.example/acme/300"),
        (["INSERT INTO subject VALUES (1, 'sub_x', -1)"], "log.example/acme/300"),
        (["INSERT INTO sealed VALUES (1, 300, 0, 'x', X'00')"], "log.example/acme/300"),
        (["INSERT INTO tile VALUES (1, 0, 1, X'00')"], "log.example/acme/300"),
        (["INSERT INTO tile VALUES (1, 2, 0, X'00')"], "log.example/acme/300"),
        (["DELETE FROM tile WHERE tree = 1 AND level = 1"], "log.example/acme/0"),
        (["DELETE FROM checkpoint WHERE tree = 1"], "acme"),
        (["INSERT INTO seq VALUES (9, 0, 'x', X'00')"], "?"),
        (["DELETE FROM tree WHERE tenant = 'globex'"], "?"),
        (["UPDATE tree SET tenant = 'initech' WHERE tenant = 'globex'"], None),
        (["UPDATE seq SET idx = 1000 WHERE tree = 1 AND idx = 299"], "log.example/acme/299"),
    ],
)
def test_forged_and_missing_rows_are_found(
    path: Path, statements: list[str], entry: str | None
) -> None:
    change(path, *statements)
    found = first_bad(path)
    assert entry is None or found == entry


def test_a_whole_tree_that_vanished_is_missed_by_its_key(path: Path) -> None:
    for table in ("seq", "body", "checkpoint", "tree"):
        change(path, f"DELETE FROM {table} WHERE {'id' if table == 'tree' else 'tree'} = 2")
    assert first_bad(path) == "log.example/globex"


def test_a_forged_tail_row_is_found(path: Path) -> None:
    one = event()
    body = encode(one)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        row = (1, 300, one.id, leaf_hash(body))
        connection.execute("INSERT INTO seq VALUES (?, ?, ?, ?)", row)
        connection.execute(
            "INSERT INTO body VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (1, 300, body, *columns(one))
        )
    assert first_bad(path) == "log.example/acme/300"


def test_a_tail_that_was_cut_off_with_its_head_is_found(path: Path) -> None:
    change(
        path,
        *(f"DELETE FROM {t} WHERE tree = 1 AND idx = 299" for t in ("seq", "body", "subject")),
        "DELETE FROM sealed WHERE tree = 1 AND idx = 299",
        "UPDATE tree SET size = 299 WHERE id = 1",
        "UPDATE checkpoint SET size = 299 WHERE tree = 1",
    )
    assert first_bad(path) == "log.example/acme/299"


def test_an_event_rewritten_with_its_hashes_is_found(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        query = "SELECT bytes FROM body WHERE tree = 1 AND idx = 270"
        (body,) = connection.execute(query).fetchone()
        body = body.replace(b'"r270"', b'"R270"')
        connection.execute(f"UPDATE body SET bytes = ? WHERE {HERE}", (body,))
        connection.execute(f"UPDATE seq SET leaf_hash = ? WHERE {HERE}", (leaf_hash(body),))
    assert first_bad(path) == "log.example/acme/0"
    assert "do not hash to the signed root" in str(verify_folder.verify_folder(path, KEYS))


def test_erasing_and_pruning_with_their_events_is_verified(path: Path) -> None:
    store = SqliteLogStore(path)
    with started(store) as log:
        log.append_blocking(
            event(action=ERASE_ACTION, phase="intent", subject_refs=(ref(3), ref(280)))
        )
        log.erase_subject("acme", ref(3))
        log.erase_subject("acme", ref(280))
        log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((10, 260),)))
    report = verify_folder.verify_folder(path, KEYS)
    assert report.status == "VERIFIED"
    assert (report.trees[0].pruned, report.trees[0].erased) == (250, 2)
    store.erase_sealed("acme", ref(5))
    store.close()
    assert first_bad(path) == "log.example/acme/5"


def test_an_erasure_that_was_refused_covers_nothing(path: Path) -> None:
    store = SqliteLogStore(path)
    with started(store) as log:
        log.append_blocking(event(action=ERASE_ACTION, outcome="deny", subject_refs=(ref(3),)))
    store.erase_sealed("acme", ref(3))
    store.close()
    assert first_bad(path) == "log.example/acme/3"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:100],
        lambda content: content[:4096] + bytes(len(content) - 4096),
        lambda content: content[:16] + b"\xff" * 84 + content[100:],
    ],
)
def test_a_damaged_file_is_a_finding(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path.write_bytes(spoil(path.read_bytes()))
    first_bad(path)


def test_an_absent_file_is_a_finding(tmp_path: Path) -> None:
    assert first_bad(tmp_path) == "?"
    assert first_bad(tmp_path / "nothing") == "?"
    assert list(tmp_path.iterdir()) == []


def test_a_tile_that_goes_on_behind_its_leaves_is_found(path: Path) -> None:
    change(
        path, "UPDATE tile SET bytes = CAST(bytes || X'00' AS BLOB) WHERE tree = 1 AND level = 0"
    )
    assert first_bad(path) == "log.example/acme/0"


def test_verifying_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    verify_folder.verify_folder(path, KEYS)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_and_a_database_are_told_from_an_export(path: Path, tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    export.write_bytes(b"PK\x03\x04")
    assert verify_folder.is_folder(path)
    assert verify_folder.is_folder(path.parent)
    assert not verify_folder.is_folder(export)
    assert not verify_folder.is_folder(tmp_path / "nothing")


def test_the_exit_status_and_the_report_tell(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [part for key in KEYS for part in ("--key", key)]
    assert verify_folder.main([str(path.parent), *keys]) == 0
    assert verify_folder.main([str(path)]) == 6
    change(path, "DELETE FROM body WHERE tree = 1 AND idx = 7")
    capsys.readouterr()
    assert verify_folder.main([str(path), *keys, "--json"]) == 6
    report = json.loads(capsys.readouterr().out)
    assert (report["status"], report["first_bad"]) == ("FAILED", "log.example/acme/7")


def test_it_needs_the_other_verifier_and_nothing_else_of_ours() -> None:
    source = Path(verify_folder.__file__).read_text()
    names = set(re.findall(r"^\s*(?:import|from) ([\w.]+)", source, re.MULTILINE))
    ours = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert ours == {"audit.verify"}
