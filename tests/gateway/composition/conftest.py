from __future__ import annotations

import pytest

from tests.gateway.composition.backups import HOUSE, Past, copied, fetched
from tests.gateway.place import served_place
from tests.gateway.web.test_subjects import consulted


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("past")
    with served_place(folder) as place:
        place.tenant(HOUSE)
        place.profile(HOUSE, "officer")
        base = place.foundation
        erased, kept = consulted(base, HOUSE, "MRN-A"), consulted(base, HOUSE, "MRN-B")
        payload = base.sealer.seal_bytes(HOUSE, b"a model", "fused").digest
        before = fetched(place, "/v1/audit/checkpoint", folder / "before.checkpoint")
        early = copied(place, folder / "early.backup")
        with place.client(HOUSE, "officer") as officer:
            officer.post(f"/v1/subjects/{erased}/erase", {"confirm": erased})
        consulted(base, HOUSE, "MRN-B")
        after = fetched(place, "/v1/audit/checkpoint", folder / "after.checkpoint")
        export = fetched(place, "/v1/audit/export", folder / "audit.zip")
        late = copied(place, folder)
    secret = folder / "data/keystore/unlock.key"
    return Past(folder, secret, early, late, before, after, export, erased, kept, payload)
