from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists
from gateway.storage.stores import ControlStores
from tests.contracts.samples import APPROVAL


def test_requests_wait_in_order_until_they_are_removed(stores: ControlStores) -> None:
    approvals = stores.approvals
    assert approvals.get_approval("acme", "a1") is None
    later = replace(APPROVAL, id="a2", body='{"ü":1}')
    for one in (later, APPROVAL, replace(APPROVAL, tenant="other")):
        approvals.add_approval(one)
    assert approvals.get_approval("acme", "a2") == later
    assert approvals.list_approvals("acme", after="", limit=9) == [APPROVAL, later]
    assert approvals.list_approvals("acme", after="", limit=1) == [APPROVAL]
    assert approvals.list_approvals("acme", after="a1", limit=9) == [later]
    assert approvals.remove_approval("acme", "a1")
    assert approvals.list_approvals("acme", after="", limit=9) == [later]
    assert approvals.get_approval("other", "a1") is not None


def test_an_id_is_given_away_once(stores: ControlStores) -> None:
    stores.approvals.add_approval(APPROVAL)
    with pytest.raises(AlreadyExists):
        stores.approvals.add_approval(replace(APPROVAL, body="{}"))
    assert stores.approvals.get_approval("acme", "a1") == APPROVAL


def test_of_two_who_remove_a_request_one_is_told_so(stores: ControlStores) -> None:
    stores.approvals.add_approval(APPROVAL)
    removed: list[bool] = []

    def remove() -> None:
        removed.append(stores.approvals.remove_approval("acme", "a1"))

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(removed) == [False, False, False, True]


def test_all_tenants_requests_are_forgotten_at_once(stores: ControlStores) -> None:
    for tenant in ("acme", "other"):
        stores.approvals.add_approval(replace(APPROVAL, tenant=tenant))
    stores.approvals.clear_approvals()
    assert not stores.approvals.list_approvals("acme", after="", limit=9)
    assert stores.approvals.get_approval("other", "a1") is None
