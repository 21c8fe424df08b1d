from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts.backends import POSTGRESQL, Backend
from tests.contracts.samples import (
    ACME,
    APP,
    APPROVAL,
    BATCH,
    BUNDLE,
    ECG,
    PART,
    PENDING,
    RELEASE,
    RUN,
    SITE,
    TRIAL,
    UPLOAD,
    VERSION,
)

pytestmark = pytest.mark.parametrize("backend", ["sqlite", POSTGRESQL], indirect=True)


def test_what_was_written_is_there_for_another_connection_at_once(backend: Backend) -> None:
    other = backend.reopen()
    mine = backend.stores
    mine.tenants.add(ACME)
    mine.clients.add(APP)
    mine.registry.add_model(ECG)
    mine.registry.add_version(VERSION)
    release = mine.registry.release(RELEASE, expected=None)
    mine.uploads.add_upload(UPLOAD)
    mine.federations.add_federation(TRIAL)
    mine.federations.add_site(SITE)
    mine.federations.add_run(RUN)
    mine.batches.add_batch(BATCH)
    mine.batches.put_part(PART)
    mine.pending.add_pending(PENDING)
    mine.approvals.add_approval(APPROVAL)
    mine.bundles.put(BUNDLE)
    assert mine.revocations.revoke_token("iss", "jti", 9) == 1

    for stores in (other, backend.reopen()):
        assert stores.tenants.get("acme") == ACME
        assert stores.clients.get("app") == APP
        assert stores.registry.get_model("acme", "ecg") == ECG
        released = replace(VERSION, state="released", revision=1)
        assert stores.registry.get_version("acme", "ecg", "1.0") == released
        assert stores.registry.current("acme", "ecg") == release
        assert stores.uploads.get_upload("acme", "u1") == UPLOAD
        assert stores.federations.get_federation("acme", "trial") == TRIAL
        assert stores.federations.get_site("acme", "north") == SITE
        assert stores.federations.get_run("acme", "r1") == RUN
        assert stores.batches.get_batch("acme", "b1") == BATCH
        assert stores.batches.get_part("acme", "b1", 0) == PART
        assert stores.pending.list_pending(after=(-1, ""), limit=9) == [PENDING]
        assert stores.approvals.get_approval("acme", "a1") == APPROVAL
        assert stores.bundles.latest("acme") == BUNDLE
        assert stores.revocations.epoch() == 1
        assert stores.revocations.revoked(0) == {("iss", "jti"): 9}


def test_a_revocation_is_seen_by_every_instance(backend: Backend) -> None:
    other = backend.reopen()
    assert other.revocations.epoch() == 0
    assert backend.stores.revocations.bump() == 1
    assert other.revocations.epoch() == 1
    assert other.revocations.bump() == 2
