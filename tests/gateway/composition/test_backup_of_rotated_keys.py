"""Keys of logs that were replaced, before a backup or after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.backup.errors import BackupUnsound
from gateway.composition.restore import Evidence, restore, verify
from tests.gateway.composition.backups import HOUSE, copied, fetched, silent
from tests.gateway.place import ENVIRONMENT, served_place
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
