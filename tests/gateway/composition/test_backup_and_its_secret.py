"""The secret that opens a backup's keystore comes from who restores, never from the backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.backup.errors import BackupRefused
from gateway.composition.backup import back_up
from gateway.composition.restore import Evidence, restore, verify
from gateway.settings import load_settings
from tests.gateway.composition.backups import silent
from tests.gateway.place import ENVIRONMENT, found_folder

PASSPHRASE = "a text that everybody has\n"


def secret_of(folder: Path) -> Path:
    secret = folder / "secret"
    secret.write_text(PASSPHRASE * 2)
    secret.chmod(0o600)
    return secret


def test_a_backup_that_names_its_own_secret_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who forges a whole backup knows what opens it, such as a file that every machine has."""
    secret, data = secret_of(tmp_path), tmp_path / "data"
    settings = {"keystore_unlock": "passphrase", "keystore_secret": str(secret)}
    found_folder(data, 8080, settings)
    forged = back_up(load_settings(data), tmp_path / "forged", ENVIRONMENT, silent).path
    with pytest.raises(BackupRefused) as refused:
        verify(forged, Evidence(), ENVIRONMENT, silent)
    assert "--unlock-secret" in refused.value.advice
    with pytest.raises(BackupRefused):
        restore(forged, tmp_path / "d", Evidence(), ENVIRONMENT, silent)
    assert not (tmp_path / "d").exists()
    monkeypatch.setenv("SEALGATE_KEYSTORE_SECRET", str(secret))
    assert verify(forged, Evidence(), ENVIRONMENT, silent).missing == {}
