from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists, StateConflict
from gateway.federation.records import RunState
from gateway.storage.stores import ControlStores
from tests.contracts.samples import PENDING, RUN, SITE, TRIAL, UPLOAD


def test_an_upload_waits_for_its_tenant(stores: ControlStores) -> None:
    uploads = stores.uploads
    uploads.add_upload(UPLOAD)
    assert uploads.get_upload("acme", "u1") == UPLOAD
    assert uploads.get_upload("other", "u1") is None
    assert uploads.get_upload("acme", "U1") is None
    with pytest.raises(AlreadyExists):
        uploads.add_upload(replace(UPLOAD, tenant="other"))
    uploads.add_upload(replace(UPLOAD, id="u0"))
    assert [u.id for u in uploads.list_uploads("acme", after="", limit=9)] == ["u0", "u1"]
    assert uploads.list_uploads("acme", after="u0", limit=9) == [UPLOAD]
    assert [u.id for u in uploads.list_uploads("acme", after="", limit=1)] == ["u0"]
    assert uploads.list_uploads("other", after="", limit=9) == []


def test_an_upload_is_removed_by_its_tenant_only(stores: ControlStores) -> None:
    uploads = stores.uploads
    uploads.add_upload(UPLOAD)
    uploads.remove_upload("other", "u1")
    assert uploads.get_upload("acme", "u1") == UPLOAD
    uploads.remove_upload("acme", "u1")
    uploads.remove_upload("acme", "u1")
    assert uploads.get_upload("acme", "u1") is None
    assert uploads.list_uploads("acme", after="", limit=9) == []


def test_expired_uploads_come_oldest_first_over_all_tenants(stores: ControlStores) -> None:
    for name, tenant, expires in [("c", "acme", 30), ("a", "other", 20), ("b", "acme", 10)]:
        stores.uploads.add_upload(replace(UPLOAD, id=name, tenant=tenant, expires=expires))

    def found(now: int, after: tuple[int, str] = (-1, ""), limit: int = 9) -> list[str]:
        return [u.id for u in stores.uploads.expired_uploads(now, after=after, limit=limit)]

    assert found(30) == ["b", "a", "c"]
    assert found(20) == ["b", "a"]
    assert found(30, limit=1) == ["b"]
    assert found(30, after=(10, "b")) == ["a", "c"]
    assert found(9) == []


@pytest.mark.parametrize("federation", [TRIAL, replace(TRIAL, calibration=None, sites=())])
def test_a_federation_comes_back_as_it_was(stores: ControlStores, federation: object) -> None:
    stores.federations.add_federation(federation)  # type: ignore[arg-type]
    assert stores.federations.get_federation("acme", "trial") == federation
    assert stores.federations.get_federation("other", "trial") is None
    with pytest.raises(AlreadyExists):
        stores.federations.add_federation(replace(TRIAL, quorum=1))
    assert stores.federations.get_federation("acme", "trial") == federation


def test_federations_are_listed_by_name(stores: ControlStores) -> None:
    for tenant, name in [("acme", "b"), ("acme", "B"), ("other", "a"), ("acme", "a")]:
        stores.federations.add_federation(replace(TRIAL, tenant=tenant, name=name))
    listed = stores.federations.list_federations("acme", after="", limit=9)
    assert [federation.name for federation in listed] == ["B", "a", "b"]
    listed = stores.federations.list_federations("acme", after="B", limit=1)
    assert [federation.name for federation in listed] == ["a"]


def test_a_site_is_allowed_once_and_keeps_its_place(stores: ControlStores) -> None:
    stores.federations.add_federation(TRIAL)
    for name in ("east", "north", "east", "East"):
        stores.federations.allow_site("acme", "trial", name)
    found = stores.federations.get_federation("acme", "trial")
    assert found == replace(TRIAL, sites=("south", "north", "east", "East"))
    with pytest.raises(StateConflict):
        stores.federations.allow_site("other", "trial", "east")


def test_a_site_is_found_by_name_and_by_key(stores: ControlStores) -> None:
    stores.federations.add_site(SITE)
    assert stores.federations.get_site("acme", "north") == SITE
    assert stores.federations.get_site("other", "north") is None
    assert stores.federations.site_by_key("ecdsa AAAA") == SITE
    assert stores.federations.site_by_key("ecdsa aaaa") is None


def test_a_key_belongs_to_one_site_of_all_tenants(stores: ControlStores) -> None:
    stores.federations.add_site(SITE)
    with pytest.raises(AlreadyExists):
        stores.federations.add_site(replace(SITE, tenant="other"))
    with pytest.raises(AlreadyExists):
        stores.federations.add_site(replace(SITE, public_key="another"))
    stores.federations.add_site(replace(SITE, tenant="other", public_key="another"))
    assert stores.federations.site_by_key("ecdsa AAAA") == SITE


def test_a_revoked_site_stays_revoked(stores: ControlStores) -> None:
    stores.federations.add_site(SITE)
    with pytest.raises(StateConflict):
        stores.federations.revoke_site("other", "north")
    assert stores.federations.get_site("acme", "north") == SITE
    for _ in range(2):
        stores.federations.revoke_site("acme", "north")
        assert stores.federations.get_site("acme", "north") == replace(SITE, revoked=True)
    with pytest.raises(AlreadyExists):
        stores.federations.add_site(replace(SITE, name="again"))


def test_a_run_is_replaced_at_its_revision_only(stores: ControlStores) -> None:
    federations = stores.federations
    federations.add_run(replace(RUN, revision=4))
    assert federations.get_run("acme", "r1") == RUN
    assert federations.get_run("other", "r1") is None
    with pytest.raises(AlreadyExists):
        federations.add_run(replace(RUN, tenant="other"))
    stored = federations.replace_run(replace(RUN, state="finished", cursor=3))
    assert stored == replace(RUN, state="finished", cursor=3, revision=1)
    for stale in (RUN, replace(stored, tenant="other"), replace(stored, id="absent")):
        with pytest.raises(StateConflict):
            federations.replace_run(stale)
    assert federations.get_run("acme", "r1") == stored


def test_runs_are_listed_by_federation(stores: ControlStores) -> None:
    federations = stores.federations
    rows: list[tuple[str, str, RunState]] = [
        ("r3", "trial", "failed"),
        ("r1", "trial", "starting"),
        ("r2", "trial", "publishing"),
        ("r0", "another", "finished"),
    ]
    for name, federation, state in rows:
        federations.add_run(replace(RUN, id=name, federation=federation, state=state))
    listed = federations.list_runs("acme", "trial", after="", limit=9)
    assert [run.id for run in listed] == ["r1", "r2", "r3"]
    assert [r.id for r in federations.list_runs("acme", "trial", after="r1", limit=1)] == ["r2"]
    assert federations.list_runs("other", "trial", after="", limit=9) == []
    assert [run.id for run in federations.unfinished_runs(after="", limit=9)] == ["r1", "r2"]
    assert len(federations.unfinished_runs(after="", limit=1)) == 1
    assert [run.id for run in federations.unfinished_runs(after="r1", limit=9)] == ["r2"]
    mine = federations.unfinished_of("acme", "trial", limit=9)
    assert [run.id for run in mine] == ["r1", "r2"]
    assert len(federations.unfinished_of("acme", "trial", limit=1)) == 1
    assert federations.unfinished_of("other", "trial", limit=9) == []


def test_pending_work_is_found_until_it_is_done(stores: ControlStores) -> None:
    pending = stores.pending
    later = replace(PENDING, id="e0", tenant="other", at=9, facts={})
    pending.add_pending(later)
    pending.add_pending(PENDING)
    with pytest.raises(AlreadyExists):
        pending.add_pending(replace(PENDING, kind="erase"))
    assert pending.list_pending(after=(-1, ""), limit=9) == [PENDING, later]
    assert pending.list_pending(after=(-1, ""), limit=1) == [PENDING]
    assert pending.list_pending(after=(PENDING.at, PENDING.id), limit=9) == [later]
    pending.remove_pending("other", "e1")
    assert pending.list_pending(after=(-1, ""), limit=9) == [PENDING, later]
    pending.remove_pending("acme", "e1")
    pending.remove_pending("acme", "e1")
    assert pending.list_pending(after=(-1, ""), limit=9) == [later]
