"""What is refused alike everywhere, and what is kept exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.storage.bounds import MAX_BLOB_BYTES, MAX_KEY_BYTES, MAX_TEXT_BYTES
from gateway.storage.errors import ValueRefused
from gateway.storage.stores import ControlStores
from tests.contracts.backends import Backend
from tests.contracts.samples import (
    ACME,
    APP,
    APPROVAL,
    ECG,
    PENDING,
    RUN,
    SITE,
    TRIAL,
    UPLOAD,
    VERSION,
)
from tests.sharings import sharing

UNSTORABLE = ["\0", "a\0b", "\ud800", "x" * (MAX_KEY_BYTES + 1)]


@pytest.mark.parametrize("bad", UNSTORABLE)
def test_a_key_that_cannot_be_kept_is_refused(stores: ControlStores, bad: str) -> None:
    for add in (
        lambda: stores.tenants.add(replace(ACME, id=bad)),
        lambda: stores.tenants.update(replace(ACME, id=bad)),
        lambda: stores.clients.add(replace(APP, id=bad)),
        lambda: stores.clients.update(replace(APP, tenant=bad)),
        lambda: stores.revocations.revoke_token("iss", bad, 1),
        lambda: stores.registry.add_model(replace(ECG, name=bad)),
        lambda: stores.registry.add_model(
            replace(ECG, sharings=frozenset({sharing("acme", "ecg", bad)}))
        ),
        lambda: stores.registry.offer(sharing("acme", "ecg", bad)),
        lambda: stores.registry.accept(sharing("acme", bad, "other")),
        lambda: stores.registry.shared_to("acme", after=("", bad), limit=1),
        lambda: stores.registry.add_version(replace(VERSION, version=bad)),
        lambda: stores.registry.replace_version(replace(VERSION, version=bad)),
        lambda: stores.registry.list_models("acme", after=bad, limit=1),
        lambda: stores.uploads.add_upload(replace(UPLOAD, id=bad)),
        lambda: stores.federations.add_federation(replace(TRIAL, name=bad)),
        lambda: stores.federations.allow_site("acme", "trial", bad),
        lambda: stores.federations.add_site(replace(SITE, public_key=bad)),
        lambda: stores.federations.revoke_site("acme", bad),
        lambda: stores.federations.add_run(replace(RUN, id=bad)),
        lambda: stores.federations.replace_run(replace(RUN, id=bad)),
        lambda: stores.pending.add_pending(replace(PENDING, id=bad)),
        lambda: stores.approvals.add_approval(replace(APPROVAL, id=bad)),
        lambda: stores.approvals.list_approvals("acme", after=bad, limit=1),
        lambda: stores.uploads.list_uploads(bad, after="", limit=1),
        lambda: stores.tenants.list(bad, 1),
        lambda: stores.clients.list(bad, None, 1),
    ):
        with pytest.raises(ValueRefused):
            add()
    assert list(stores.tenants.list(None, 9)) == []


@pytest.mark.parametrize("bad", UNSTORABLE)
def test_a_look_up_by_a_key_that_cannot_be_kept_finds_nothing(
    stores: ControlStores, bad: str
) -> None:
    assert stores.tenants.get(bad) is None
    assert stores.clients.get(bad) is None
    assert stores.registry.get_model("acme", bad) is None
    assert stores.registry.get_version("acme", "ecg", bad) is None
    assert stores.registry.current("acme", bad) is None
    assert stores.uploads.get_upload("acme", bad) is None
    stores.uploads.remove_upload("acme", bad)
    assert stores.federations.get_federation("acme", bad) is None
    assert stores.federations.get_site("acme", bad) is None
    assert stores.federations.site_by_key(bad) is None
    assert stores.federations.get_run("acme", bad) is None
    stores.pending.remove_pending("acme", bad)
    assert stores.approvals.get_approval("acme", bad) is None
    assert not stores.approvals.remove_approval("acme", bad)
    assert stores.bundles.latest(bad) is None


def test_values_that_cannot_be_kept_are_refused(stores: ControlStores) -> None:
    deep: dict[str, object] = {}
    for _ in range(40):
        deep = {"a": deep}
    stores.registry.add_model(ECG)
    for add in (
        lambda: stores.tenants.add(replace(ACME, name="\0")),
        lambda: stores.tenants.add(replace(ACME, purposes=frozenset({"\udfff"}))),
        lambda: stores.tenants.add(replace(ACME, name="x" * (MAX_TEXT_BYTES + 1))),
        lambda: stores.clients.add(replace(APP, jwks={"a": ["\0"]})),
        lambda: stores.clients.add(replace(APP, jwks={"\0": 1})),
        lambda: stores.clients.add(replace(APP, jwks={"a": 2**63})),
        lambda: stores.clients.add(replace(APP, jwks={"a": object()})),
        lambda: stores.clients.add(replace(APP, jwks=deep)),
        lambda: stores.revocations.revoke_token("iss", "jti", 2**63),
        lambda: stores.registry.add_version(replace(VERSION, facts={"a": "\0"})),
        lambda: stores.registry.add_version(replace(VERSION, manifest=bytes(MAX_BLOB_BYTES + 1))),
        lambda: stores.federations.add_federation(replace(TRIAL, sites=("\0",))),
    ):
        with pytest.raises(ValueRefused):
            add()
    assert stores.clients.get("app") is None
    assert stores.revocations.epoch() == 0


def test_the_largest_values_are_kept(stores: ControlStores) -> None:
    tenant = replace(ACME, id="i" * MAX_KEY_BYTES, name="ü" * (MAX_TEXT_BYTES // 2))
    stores.tenants.add(tenant)
    assert stores.tenants.get(tenant.id) == tenant
    stores.registry.add_model(ECG)
    version = replace(VERSION, manifest=b"\xff" * MAX_BLOB_BYTES)
    stores.registry.add_version(version)
    assert stores.registry.get_version("acme", "ecg", "1.0") == version
    stores.federations.add_run(replace(RUN, cursor=2**63 - 1, started=-(2**63)))
    run = stores.federations.get_run("acme", "r1")
    assert run is not None
    assert (run.cursor, run.started) == (2**63 - 1, -(2**63))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(texts, min_size=1, max_size=6, unique=True), value=texts)
def test_any_text_is_kept_and_ordered_by_code_point(
    backend: Backend, names: list[str], value: str
) -> None:
    tenant = f"t{sum(map(len, names))}-{names!r}"
    if len(tenant.encode()) > 1500:
        return
    pending = {p.id for p in backend.stores.pending.list_pending(after=(-1, ""), limit=9999)}
    for name in names:
        if f"{tenant}{name}" not in pending:
            record = replace(PENDING, id=f"{tenant}{name}", facts={name: value}, at=0)
            backend.stores.pending.add_pending(record)
    mine = [
        p.id
        for p in backend.stores.pending.list_pending(after=(-1, ""), limit=9999)
        if p.id.startswith(tenant)
    ]
    assert mine == sorted(mine)
    assert set(mine) >= {f"{tenant}{name}" for name in names}
