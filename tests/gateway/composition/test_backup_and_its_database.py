"""A restored log is never joined to the records of another gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.backup.errors import BackupRefused
from gateway.composition.bootstrap import holds_password
from gateway.composition.restore import Evidence, verify
from gateway.errors import ConfigurationError
from tests.gateway.composition.backups import Past, put_back, silent
from tests.gateway.place import ENVIRONMENT

OLD = "postgresql://sealgate@127.0.0.1/old"


def test_a_database_that_the_environment_names_is_not_taken_for_the_restored_one(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment goes before the settings, so the next start would use the old records."""
    monkeypatch.setenv("SEALGATE_DATABASE_URL", OLD)
    for named in (None, "postgresql://sealgate@127.0.0.1/new"):
        with pytest.raises(BackupRefused, match="another database") as refused:
            put_back(past, past.early, tmp_path, database_url=named)
        assert "unset SEALGATE_DATABASE_URL" in refused.value.advice
        assert list(tmp_path.iterdir()) == []
    assert verify(past.early, Evidence(secret=past.secret), ENVIRONMENT, silent).missing == {}


@pytest.mark.parametrize("address", ["sealgate:pw@127.0.0.1/new", "127.0.0.1/new?password=pw"])
def test_a_password_in_the_address_is_refused_as_at_init(
    past: Past, tmp_path: Path, address: str
) -> None:
    """It would stand in the settings, and so in each backup."""
    with pytest.raises(ConfigurationError, match="must not hold a password") as refused:
        put_back(past, past.early, tmp_path, database_url=f"postgresql://{address}")
    assert "passfile" in str(refused.value.advice)
    assert list(tmp_path.iterdir()) == []
    assert not holds_password("postgresql://sealgate@127.0.0.1/new?passfile=/etc/pass")
