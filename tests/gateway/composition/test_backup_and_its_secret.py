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


@pytest.mark.parametrize("method", ["passphrase", "credential"])
def test_a_method_that_only_the_units_environment_names_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Once the right secret was told to be a wrong one: systemd and compose set both there."""
    secret, data = secret_of(tmp_path), tmp_path / "data"
    monkeypatch.setenv("SEALGATE_KEYSTORE_UNLOCK", method)
    monkeypatch.setenv("SEALGATE_KEYSTORE_SECRET", str(secret))
    found_folder(data, 8080, {})
    backup = back_up(load_settings(data), tmp_path / "b", ENVIRONMENT, silent).path
    monkeypatch.delenv("SEALGATE_KEYSTORE_UNLOCK")
    monkeypatch.delenv("SEALGATE_KEYSTORE_SECRET")
    assert verify(backup, Evidence(secret=secret), ENVIRONMENT, silent).missing == {}
    restore(backup, tmp_path / "again", Evidence(secret=secret), ENVIRONMENT, silent)
    assert not (tmp_path / "again/keystore/unlock.key").exists()
    assert "keystore" not in (tmp_path / "again/sealgate.toml").read_text()


def test_a_backup_of_a_key_file_opens_where_the_environment_is_another_gateways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    backup = back_up(load_settings(data), tmp_path / "b", ENVIRONMENT, silent).path
    monkeypatch.setenv("SEALGATE_KEYSTORE_UNLOCK", "passphrase")
    kept = Evidence(secret=data / "keystore/unlock.key")
    assert verify(backup, kept, ENVIRONMENT, silent).missing == {}
