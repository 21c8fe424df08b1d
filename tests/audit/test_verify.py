"""The verifier against exports: what is whole passes, every single change is found and named."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import verify
from audit.event import PRUNE_ACTION, Event
from audit.export import export_log
from audit.reader import LogReader
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, ref, signer, started

KEY = signer("acme").verifier_key
FIRST = "log.example/acme/"


def reader_of(store: MemoryLogStore) -> LogReader:
    return LogReader(store, lambda tenant: signer(tenant).verifier)


def exported(store: MemoryLogStore, tenant: str = "acme") -> bytes:
    out = io.BytesIO()
    export_log(reader_of(store), tenant, out)
    return out.getvalue()


def log_of(*events: Event) -> MemoryLogStore:
    store = MemoryLogStore()
    with started(store) as log:
        for one in events:
            log.append_blocking(one)
    return store


@dataclass
class Archive:
    """An export to tamper with."""

    path: Path
    files: dict[str, bytes]

    def write(self) -> Path:
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
        return self.path


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    fields = [{"subject_refs": (ref(n), ref(n + 1)), "reason": f"r{n}"} for n in range(300)]
    content = exported(log_of(*(event(**one) for one in fields)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def archive(tmp_path: Path, whole: dict[str, bytes]) -> Archive:
    return Archive(tmp_path / "export.zip", dict(whole))


def first_bad(path: Path, key: str | None = KEY) -> str | None:
    report = verify.verify_export(path, key)
    assert report.status == "FAILED"
    return report.first_bad


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
    tmp_path: Path, prune: dict[str, object]
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


def test_the_report_never_steers_a_terminal(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.files["checkpoint"] = archive.files["checkpoint"].replace(b"log.", b"\x1b[2J")
    archive.files["\x1b]0;x"] = b""
    verify.main([str(archive.write())])
    assert "\x1b" not in capsys.readouterr().out


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the file alone: isolated, from elsewhere, without our packages."""
    code = (
        "import runpy, sys; sys.path = [p for p in sys.path if p != sys.argv[1]];"
        "sys.modules['audit'] = None; sys.argv = sys.argv[2:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    file = Path(verify.__file__)
    return subprocess.run(
        [sys.executable, "-I", "-c", code, str(file.parents[1]), str(file), *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.e2e
def test_the_file_works_alone_and_its_exit_status_tells(archive: Archive) -> None:
    path = str(archive.write())
    good = script(path, "--key", KEY)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.rstrip().endswith("VERIFIED")
    unpinned = script(path)
    assert unpinned.returncode == 6
    assert "UNPINNED" in unpinned.stdout
    name = "tile/entries/001.p/44"
    archive.files[name] = archive.files[name].replace(b'"r290"', b'"r291"')
    bad = script(str(archive.write()), "--key", KEY, "--json")
    assert bad.returncode == 6
    report = json.loads(bad.stdout)
    assert (report["status"], report["first_bad"]) == ("FAILED", f"{FIRST}290")


def test_the_file_imports_only_the_standard_library_and_cryptography() -> None:
    source = Path(verify.__file__).read_text()
    roots = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
    assert roots <= set(sys.stdlib_module_names) | {"cryptography"}


@pytest.mark.e2e
def test_the_help_teaches() -> None:
    helped = script("--help")
    assert helped.returncode == 0
    for word in ("UNPINNED", "exit status", "verify_folder.py", "--kept"):
        assert word in helped.stdout


def test_a_database_is_refused_with_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    SqliteLogStore(path).close()
    assert first_bad(path) == "?"
    assert first_bad(tmp_path) == "?"


@pytest.mark.e2e
def test_a_malformed_key_is_a_usage_error(archive: Archive) -> None:
    wrong = script(str(archive.write()), "--key", "nonsense")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_the_first_export_format_is_verified_for_ever() -> None:
    kept = Path(__file__).parents[1] / "vectors" / "audit" / "export-v1.zip"
    vkey = "log.example/acme+fc76552b+AS+dK2Pl0vohjaSgVsWaRpbYoyuY4BA2s4GzE2pyXK/u"
    report = verify.verify_export(kept, vkey)
    (tree,) = report.trees
    assert report.status == "VERIFIED"
    assert (tree.size, tree.pruned) == (272, 16)
    assert tree.root == "7295356fa21e00913ccd725f1409bd26f0c77800ccf61bdd88d3900ec7e3386c"
