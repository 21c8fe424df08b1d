"""Keys of logs that were replaced, before a backup or after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from audit.event import PLATFORM_TENANT
from audit.note import LogSigner
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.unlock import KeyFile
from gateway.backup.archive import MANIFEST
from gateway.backup.errors import BackupUnsound
from gateway.backup.making import Source, make
from gateway.backup.manifest import SIGNING, File, Manifest, decode
from gateway.composition.backup import ADMINISTRATOR_AAD, back_up
from gateway.composition.restore import Evidence, restore, verify
from gateway.settings import load_settings
from tests.gateway.composition.backups import HOUSE, content_of, copied, fetched, silent
from tests.gateway.place import ENVIRONMENT, Place, found_folder, served_place
from tests.gateway.web.test_subjects import consulted


def test_checkpoints_of_before_and_after_a_rotation_hold(tmp_path: Path) -> None:
    """Once those of before were read as a fork."""
    with served_place(tmp_path) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        consulted(place.foundation, HOUSE, "A")
        before = fetched(place, "/v1/audit/checkpoint", tmp_path / "before")
        with place.admin() as admin:
            admin.post("/v1/keys/rotate", {"kind": "log", "tenant": HOUSE})
        consulted(place.foundation, HOUSE, "A")
        after = fetched(place, "/v1/audit/checkpoint", tmp_path / "after")
        backup = copied(place, tmp_path / "backup")
    kept = Evidence(secret=tmp_path / "data/keystore/unlock.key", checkpoints=[before, after])
    assert verify(backup, kept, ENVIRONMENT, silent).missing == {}


@pytest.fixture(scope="module")
def replaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup, and what was kept of the log after its key was replaced and A was erased."""
    folder = tmp_path_factory.mktemp("replaced")
    with served_place(folder) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        ref = consulted(place.foundation, HOUSE, "A")
        copied(place, folder / "backup")
        with place.admin() as admin:
            admin.post("/v1/keys/rotate", {"kind": "log", "tenant": HOUSE})
        with place.client(HOUSE, "officer") as officer:
            officer.post(f"/v1/subjects/{ref}/erase", {"confirm": ref})
        consulted(place.foundation, HOUSE, "B")
        fetched(place, "/v1/audit/checkpoint", folder / "checkpoint")
        fetched(place, "/v1/audit/export", folder / "export.zip")
    (folder / "erased").write_text(ref)
    return folder


@pytest.mark.parametrize("also", [(), ("checkpoint",)], ids=["export", "export and checkpoint"])
def test_an_export_of_after_a_rotation_tells_the_new_key_and_what_was_erased(
    replaced: Path, tmp_path: Path, also: tuple[str, ...]
) -> None:
    """Once it was refused as of another installation."""
    kept = Evidence(
        secret=replaced / "data/keystore/unlock.key",
        checkpoints=[replaced / name for name in also],
        exports=[replaced / "export.zip"],
    )
    back = restore(
        replaced / "backup", tmp_path / "data", kept, ENVIRONMENT, silent, accept_loss=True
    )
    assert back.erased == [(HOUSE, (replaced / "erased").read_text())]
    assert list(back.missing) == [f"test/{HOUSE}"]
    assert "rotateLogKey" in [change.action for change in back.changes]


def test_a_bare_checkpoint_of_a_later_key_is_refused_with_what_tells_that_key(
    replaced: Path, tmp_path: Path
) -> None:
    kept = Evidence(
        secret=replaced / "data/keystore/unlock.key", checkpoints=[replaced / "checkpoint"]
    )
    with pytest.raises(BackupUnsound, match=f"checkpoint of test/{HOUSE}") as refused:
        restore(replaced / "backup", tmp_path / "d", kept, ENVIRONMENT, silent, accept_loss=True)
    assert "--export" in refused.value.advice


def remade(backup: Path, to: Path, at_instant: Callable[[bytes], bytes], data: Path) -> Path:
    """Make a backup whose administrator's key is wrapped as given."""
    keys = LocalKeyStore.open(data / "keystore", KeyFile(data / "keystore/unlock.key"))
    said = decode(content_of(backup)[MANIFEST])

    def describe(
        checkpoints: dict[str, str], files: list[File], damaged: list[str], left_out: list[str]
    ) -> Manifest:
        return msgspec.structs.replace(
            said, checkpoints=checkpoints, files=files, damaged=damaged, left_out=left_out
        )

    source = Source(
        data=data,
        databases={name: data / name for name in ("audit.db", "subjects.db", "control.db")},
        signer=LogSigner("test", keys.signing_key(SIGNING)),
        wrap=at_instant,
        describe=describe,
    )
    make(source, to, silent)
    return to


def test_the_administrators_key_opens_though_the_platforms_key_is_replaced_meanwhile(
    tmp_path: Path,
) -> None:
    """Once the copy lacked the key that it was wrapped under, and nothing told so."""
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    first = back_up(load_settings(data), tmp_path / "first", ENVIRONMENT, silent).path
    secret = data / "keystore/unlock.key"
    keys = LocalKeyStore.open(data / "keystore", KeyFile(secret))

    def replaced_meanwhile(key: bytes) -> bytes:
        keys.rotate(PLATFORM_TENANT)
        return keys.wrap(PLATFORM_TENANT, key, ADMINISTRATOR_AAD)

    backup = remade(first, tmp_path / "b", replaced_meanwhile, data)
    restore(backup, tmp_path / "again", Evidence(secret=secret), ENVIRONMENT, silent)
    assert (tmp_path / "again/admin.key").read_bytes() == (data / "admin.key").read_bytes()


def test_verify_tells_of_an_administrators_key_that_does_not_open(tmp_path: Path) -> None:
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    first = back_up(load_settings(data), tmp_path / "first", ENVIRONMENT, silent).path
    backup = remade(first, tmp_path / "b", lambda key: b"1" + key, data)
    with pytest.raises(BackupUnsound, match="administrator"):
        verify(backup, Evidence(secret=data / "keystore/unlock.key"), ENVIRONMENT, silent)


def test_a_key_of_the_administrator_that_is_replaced_meanwhile_is_taken_anew(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    first = back_up(load_settings(data), tmp_path / "first", ENVIRONMENT, silent).path
    secret = data / "keystore/unlock.key"
    keys = LocalKeyStore.open(data / "keystore", KeyFile(secret))

    def written_meanwhile(key: bytes) -> bytes:
        (data / "admin.key").write_bytes(b"the new one")
        return keys.wrap(PLATFORM_TENANT, key, ADMINISTRATOR_AAD)

    backup = remade(first, tmp_path / "b", written_meanwhile, data)
    restore(backup, tmp_path / "again", Evidence(secret=secret), ENVIRONMENT, silent)
    assert (tmp_path / "again/admin.key").read_bytes() == b"the new one"


def test_signing_keys_that_were_replaced_after_the_backup_do_not_come_back(
    tmp_path: Path,
) -> None:
    """An export tells of it: the gateway replaces them once more, as lost, before it serves."""
    with served_place(tmp_path) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        backup = copied(place, tmp_path / "backup")
        old = release_key(place, HOUSE)
        with place.admin() as admin:
            admin.post("/v1/keys/rotate", {"kind": "release", "tenant": HOUSE})
            admin.post("/v1/keys/rotate", {"kind": "policy"})
            export = tmp_path / "platform.zip"
            export.write_bytes(admin.send("GET", "/v1/audit/export").content)
        gone = release_key(place, HOUSE)
    kept = Evidence(secret=tmp_path / "data/keystore/unlock.key", exports=[export])
    again = tmp_path / "again"
    again.mkdir()
    back = restore(backup, again / "data", kept, ENVIRONMENT, silent, accept_loss=True)
    assert back.replaced == [f"Key::policy/{PLATFORM_TENANT}", f"Key::release/{HOUSE}"]
    for _ in range(2):  # a second start replaces nothing
        with served_place(again) as place, place.admin() as admin:
            assert release_key(place, HOUSE) not in {old, gone}
            [release] = [
                key for key in admin.items("/v1/keys", tenant=HOUSE) if key["kind"] == "release"
            ]
            assert (release["number"], release["former"]) == (2, [])
            assert place.foundation.keys.ring("policy").number == 2
    assert (again / "data" / "restore.json").exists() is False


def release_key(place: Place, tenant: str) -> bytes:
    return place.foundation.keys.release_key(tenant).public_key().public_bytes_raw()
