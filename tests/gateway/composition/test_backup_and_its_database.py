"""A restored log is never joined to the records of another gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.backup.errors import BackupRefused
from gateway.composition.restore import Evidence, verify
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
