"""A backup is put back whole, by who has the secret, with what was lost told and recorded."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from gateway.artifacts.errors import KeystoreCorrupt
from gateway.backup import newest
from gateway.backup.archive import MANIFEST, SIGNATURE, Writer
from gateway.backup.errors import BackupOlder, BackupRefused, BackupUnsound
from gateway.backup.instant import Instant
from gateway.backup.manifest import File, decode, encode
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.composition.backup import back_up
from gateway.composition.restore import Evidence, restore, verify
from gateway.composition.restored import RESTORE_FILE
from gateway.errors import ConfigurationError
from gateway.process.ownership import owned
from gateway.settings import load_settings
from tests.gateway.composition.backups import (
    HOUSE,
    Past,
    content_of,
    events,
    fetched,
    living,
    put_back,
    silent,
    verified,
)
from tests.gateway.place import ENVIRONMENT, served_place
from tests.gateway.web.test_subjects import consulted


def test_a_restored_gateway_has_everything_and_records_that_it_was_restored(
    past: Past, tmp_path: Path
) -> None:
    put_back(past, past.early, tmp_path)
    with living(tmp_path, past) as place:
        base = place.foundation
        assert base.artifacts.exists(past.payload)
        assert base.vault.find(HOUSE, "MRN-B") == past.kept
        for tenant in (HOUSE, "platform"):
            (told,) = events(place, "restore", tenant)
            assert told["index"] == told["n_in"], "right behind the last entry of the backup"
            assert (told["outcome"], told["reason"]) == ("done", "restored")
            assert told["actor_type"] == "operator"
        with place.admin() as admin:
            assert admin.get("/v1/tenants")["items"], "the administrator has the key"
    assert not (tmp_path / "data" / RESTORE_FILE).exists()
    assert verified(tmp_path / "data") == "VERIFIED"
    with living(tmp_path, past) as place:
        assert len(events(place, "restore")) == 1


def test_a_start_that_dies_while_it_records_a_restore_is_gone_on_with(
    past: Past, tmp_path: Path
) -> None:
    put_back(past, past.early, tmp_path, exports=[past.export], accept_loss=True)
    note = tmp_path / "data" / RESTORE_FILE
    kept = note.read_bytes()
    with living(tmp_path, past):
        pass
    note.write_bytes(kept)
    with living(tmp_path, past) as place:
        assert len(events(place, "restore")) == 1
        assert len(events(place, "eraseSubject")) == 2, "intent and result"
    assert not note.exists()


def test_a_note_of_a_restore_that_cannot_be_read_refuses_the_start(
    past: Past, tmp_path: Path
) -> None:
    put_back(past, past.early, tmp_path)
    (tmp_path / "data" / RESTORE_FILE).write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="cannot be recorded"), living(tmp_path, past):
        pass


def test_a_folder_that_has_not_recorded_its_restore_is_not_backed_up(
    past: Past, tmp_path: Path
) -> None:
    put_back(past, past.early, tmp_path)
    with pytest.raises(BackupRefused, match="not recorded") as refused:
        back_up(load_settings(tmp_path / "data"), tmp_path / "b", ENVIRONMENT, silent)
    assert "sealgate serve" in refused.value.advice


def test_a_kept_checkpoint_tells_how_much_is_missing_and_the_loss_is_recorded(
    past: Past, tmp_path: Path
) -> None:
    with pytest.raises(BackupOlder) as older:
        put_back(past, past.early, tmp_path, checkpoints=[past.after])
    assert not (tmp_path / "data").exists()
    (lost,) = older.value.missing.values()
    assert f"{lost} of test/{HOUSE}" in older.value.public
    assert "--accept-loss" in older.value.advice
    put_back(past, past.early, tmp_path, checkpoints=[past.after], accept_loss=True)
    with living(tmp_path, past) as place:
        (told,) = events(place, "restore")
    assert told["reason"] == "entries_lost"
    assert told["prev_checkpoint_size"] == int(str(told["n_in"])) + lost
    assert told["prev_checkpoint_size"] == int(past.after.read_text().split("\n")[1])


@pytest.mark.parametrize("kept", ["before.checkpoint", "data/checkpoints.json"])
def test_a_backup_that_is_newer_than_what_was_kept_lacks_nothing(
    past: Past, tmp_path: Path, kept: str
) -> None:
    assert put_back(past, past.late, tmp_path, checkpoints=[past.folder / kept]).missing == {}


def test_a_fork_is_refused_whatever_is_accepted(past: Past, tmp_path: Path) -> None:
    forked = tmp_path / "forked"
    forked.mkdir()
    put_back(past, past.early, forked)
    with living(forked, past) as place:
        for number in range(9):
            consulted(place.foundation, HOUSE, f"MRN-{number}")
        fork = fetched(place, "/v1/audit/checkpoint", tmp_path / "fork.checkpoint")
    assert int(fork.read_text().split("\n")[1]) >= int(past.after.read_text().split("\n")[1])
    with pytest.raises(BackupUnsound, match="not the one of the kept checkpoint"):
        put_back(past, copied_of(forked), tmp_path, checkpoints=[past.after], accept_loss=True)
    assert not (tmp_path / "data").exists()


def copied_of(folder: Path) -> Path:
    """A backup of a stopped gateway."""
    return back_up(load_settings(folder / "data"), folder, ENVIRONMENT, silent).path


def test_an_export_of_a_fork_is_refused(past: Past, tmp_path: Path) -> None:
    forked = tmp_path / "forked"
    forked.mkdir()
    put_back(past, past.early, forked)
    with living(forked, past) as place:
        for number in range(9):
            consulted(place.foundation, HOUSE, f"MRN-{number}")
        export = fetched(place, "/v1/audit/export", tmp_path / "fork.zip")
    with pytest.raises(BackupUnsound):
        put_back(past, past.late, tmp_path, exports=[export], accept_loss=True)


def test_an_erased_person_comes_back_without_the_export_and_not_with_it(
    past: Past, tmp_path: Path
) -> None:
    without, with_it = tmp_path / "without", tmp_path / "with"
    without.mkdir()
    with_it.mkdir()
    assert put_back(past, past.early, without).erased == []
    with living(without, past) as place:
        assert place.foundation.vault.find(HOUSE, "MRN-A") == past.erased
    told = put_back(past, past.early, with_it, exports=[past.export], accept_loss=True)
    assert told.erased == [(HOUSE, past.erased)]
    assert told.missing
    with living(with_it, past) as place:
        assert place.foundation.vault.find(HOUSE, "MRN-A") is None
        assert place.foundation.vault.find(HOUSE, "MRN-B") == past.kept
        intent, result = events(place, "eraseSubject")
        (restored,) = events(place, "restore")
    assert (result["reason"], result["subject_refs"]) == ("restored", (past.erased,))
    assert int(str(intent["index"])) > int(str(restored["index"]))
    assert verified(with_it / "data") == "VERIFIED"


def test_an_export_that_was_changed_is_refused(past: Past, tmp_path: Path) -> None:
    for content in (b"", b"PK", past.export.read_bytes()[:-200], past.before.read_bytes()):
        export = tmp_path / "changed.zip"
        export.write_bytes(content)
        with pytest.raises(BackupUnsound):
            put_back(past, past.early, tmp_path, exports=[export], accept_loss=True)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}x", b'{"a": "b"}'])
def test_what_is_no_checkpoint_is_refused(past: Past, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept").write_bytes(content)
    with pytest.raises(BackupUnsound):
        put_back(past, past.early, tmp_path, checkpoints=[tmp_path / "kept"])


def test_a_checkpoint_that_the_log_did_not_sign_is_refused(past: Past, tmp_path: Path) -> None:
    origin, _, rest = past.after.read_text().partition("\n")
    (tmp_path / "kept").write_text(f"{origin}\n9{rest}")
    with pytest.raises(BackupUnsound, match="checkpoint"):
        put_back(past, past.early, tmp_path, checkpoints=[tmp_path / "kept"], accept_loss=True)


def test_another_secret_opens_nothing(past: Past, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.write_bytes(bytes(32))
    other.chmod(0o600)
    evidence = Evidence(secret=other)
    with pytest.raises(KeystoreCorrupt):
        verify(past.early, evidence, ENVIRONMENT, silent)
    with pytest.raises(KeystoreCorrupt):
        restore(past.early, tmp_path / "d", evidence, ENVIRONMENT, silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.key"]


def test_without_the_secret_it_says_what_to_name(past: Past, tmp_path: Path) -> None:
    with pytest.raises(BackupRefused) as refused:
        restore(past.early, tmp_path / "d", Evidence(), ENVIRONMENT, silent)
    assert "--unlock-secret" in refused.value.advice


def archive_of(content: dict[str, bytes], to: Path) -> Path:
    out = io.BytesIO()
    writer = Writer(out)
    for name, data in content.items():
        writer.begin(name, len(data))
        writer.write(data)
        writer.end()
    writer.close()
    to.write_bytes(out.getvalue())
    return to


def counted(content: dict[str, bytes]) -> dict[str, bytes]:
    """Make the manifest fit, as who changes a backup would; the signature stays."""
    said = decode(content[MANIFEST])
    files = [
        File(name, len(data), sha256(data).hexdigest())
        for name, data in content.items()
        if name not in (MANIFEST, SIGNATURE)
    ]
    return {**content, MANIFEST: encode(msgspec.structs.replace(said, files=files))}


def flipped(content: dict[str, bytes], name: str) -> dict[str, bytes]:
    data = bytearray(content[name])
    data[len(data) // 2] ^= 1
    return {**content, name: bytes(data)}


def without(content: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: data for key, data in content.items() if key != name}


def extra(content: dict[str, bytes], name: str) -> dict[str, bytes]:
    more = f"artifacts/payload/{sha256(name.encode()).hexdigest()}"
    return {more: name.encode(), **content}


MEMBERS = (
    *("sealgate.toml", "checkpoints.json", "keystore/keys", "admin.json", "admin.key.wrapped"),
    *("audit.db", "subjects.db", "control.db", "artifacts/payload/", MANIFEST, SIGNATURE),
)


@pytest.mark.parametrize("counts", [False, True], ids=["as it is", "manifest made to fit"])
@pytest.mark.parametrize("change", [flipped, without, extra])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_backup_with_a_member_changed_absent_or_extra_is_refused(
    past: Past, tmp_path: Path, name: str, change: Callable[..., dict[str, bytes]], counts: bool
) -> None:
    content = content_of(past.early)
    name = next(one for one in content if one.startswith(name))
    changed = change(content, name)
    if counts and MANIFEST in changed and (name != MANIFEST or change is not flipped):
        changed = counted(changed)
    backup = archive_of(changed, tmp_path / "changed.backup")
    with pytest.raises((BackupUnsound, KeystoreCorrupt, ConfigurationError)):
        put_back(past, backup, tmp_path)
    with pytest.raises((BackupUnsound, KeystoreCorrupt, ConfigurationError)):
        verify(backup, Evidence(secret=past.secret), ENVIRONMENT, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["changed.backup"]


def test_nothing_in_a_backup_opens_anything_by_itself(past: Past) -> None:
    content = past.early.read_bytes()
    key = json.loads((past.folder / "data/admin.key").read_text())["d"]
    assert key.encode() not in content
    assert past.secret.read_bytes() not in content
    assert past.early.stat().st_mode & 0o777 == 0o600
    said = decode(content_of(past.early)[MANIFEST])
    assert said.left_out == ["keystore/unlock.key"]


@pytest.mark.parametrize("how", ["in use", "not empty", "a file"])
def test_nothing_is_restored_over_what_is_there(past: Past, tmp_path: Path, how: str) -> None:
    target = tmp_path / "data"
    if how == "a file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    with owned(target) if how == "in use" else open(past.secret):
        before = sorted(path.name for path in tmp_path.rglob("*"))
        with pytest.raises(BackupRefused) as refused:
            put_back(past, past.early, tmp_path)
        assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert "move the old one away" in refused.value.advice


def test_an_empty_folder_is_taken(past: Past, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    put_back(past, past.early, tmp_path)
    assert (tmp_path / "data" / RESTORE_FILE).exists()


def test_a_backup_is_not_put_into_the_folder_that_it_is_of_nor_over_another(past: Past) -> None:
    settings = load_settings(past.folder / "data")
    for to in (past.folder / "data", past.folder / "data/x", past.early, past.folder / "no/x"):
        with pytest.raises(BackupRefused) as refused:
            back_up(settings, to, ENVIRONMENT, silent)
        assert refused.value.advice


def test_a_damaged_payload_is_told_and_the_rest_is_backed_up(past: Past, tmp_path: Path) -> None:
    shutil.copytree(past.folder / "data", tmp_path / "data")
    (tmp_path / "data/artifacts/payload" / past.payload).write_bytes(b"rotten")
    made = back_up(load_settings(tmp_path / "data"), tmp_path / "b", ENVIRONMENT, silent)
    assert made.manifest.damaged == [past.payload]
    checked = verify(made.path, Evidence(secret=past.secret), ENVIRONMENT, silent)
    assert checked.manifest.damaged == [past.payload]


def test_the_newest_backup_is_noted_in_the_folder(past: Past) -> None:
    noted = newest.read(past.folder / "data")
    said = decode(content_of(past.late)[MANIFEST])
    assert noted is not None
    assert (noted.id, noted.at, noted.entries) == (said.id, said.at, said.entries())


def test_what_a_backup_leaves_out_is_named(past: Past, tmp_path: Path) -> None:
    shutil.copytree(past.folder / "data", tmp_path / "data")
    (tmp_path / "data/tls.key").write_text("a key")
    made = back_up(load_settings(tmp_path / "data"), tmp_path / "b", ENVIRONMENT, silent)
    assert made.manifest.left_out == ["keystore/unlock.key", "tls.key"]


def test_an_erasure_that_a_copy_delays_ends_when_it_is_asked_again(tmp_path: Path) -> None:
    """A reader of an old state keeps the bytes; the caller is told, and nothing is left half."""
    with served_place(tmp_path) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        ref = consulted(place.foundation, HOUSE, "MRN-A")
        data = tmp_path / "data"
        instant = Instant({name: data / name for name in ("audit.db", "subjects.db")}, data / "no")
        with place.client(HOUSE, "officer") as officer:
            with instant.hold():
                pass
            with pytest.raises(CommandFailed) as delayed:
                officer.post(f"/v1/subjects/{ref}/erase", {"confirm": ref})
            assert place.foundation.vault.find(HOUSE, "MRN-A") is None, "nobody finds the person"
            instant.close()
            assert officer.post(f"/v1/subjects/{ref}/erase", {"confirm": ref})["ref"] == ref
    assert "not complete" in delayed.value.what
    assert delayed.value.code == ExitCode.TRY_AGAIN


def test_a_restore_removes_what_one_that_was_killed_left(past: Past, tmp_path: Path) -> None:
    left = tmp_path / ".data.0123abcd.partial"
    (left / "keystore").mkdir(parents=True)
    put_back(past, past.early, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
