"""A backup that was made after a log's key was replaced holds checkpoints of both keys."""

from __future__ import annotations

from pathlib import Path

from gateway.composition.restore import Evidence, verify
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
