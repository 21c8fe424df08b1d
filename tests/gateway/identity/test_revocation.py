from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from gateway.identity.errors import UnknownRecord
from gateway.identity.records import Client, Tenant
from gateway.identity.revocation import SWEEP, RevocationState
from gateway.storage.errors import StorageUnavailable
from gateway.storage.memory_identity import MemoryClientStore, MemoryRevocationStore

from .fakes import NOW, Clock, World

LATER = int(NOW) + 300


def test_a_change_is_durable_and_visible_when_it_returns() -> None:
    world = World()
    epoch = world.revocation_state.epoch
    assert (
        world.revocation_state.revoke_token("i", "t", LATER)
        == epoch + 1
        == world.revocation_state.epoch
    )
    assert world.revocation_state.is_revoked("i", "t")
    assert not world.revocation_state.is_revoked("other", "t")
    assert world.revocations.revoked(0) == {("i", "t"): LATER}
    assert world.revocation_state.save_client(replace(world.service, disabled=True)) == epoch + 2
    client, _ = world.revocation_state.look_up("service")
    assert client is not None
    assert client.disabled
    assert (
        world.revocation_state.save_tenant(Tenant("north", "N", "eu", suspended=True)) == epoch + 3
    )
    _, tenant = world.revocation_state.look_up("service")
    assert tenant is not None
    assert tenant.suspended


def test_what_is_looked_up_is_remembered_until_something_changes() -> None:
    world = World()
    for _ in range(3):
        world.revocation_state.look_up("service")
    assert world.clients.reads == 1
    world.revocation_state.revoke_token("i", "t", LATER)
    assert world.revocation_state.remembered("service") is None
    world.revocation_state.look_up("service")
    assert world.clients.reads == 2


def test_that_nobody_has_an_id_is_remembered_until_something_changes() -> None:
    world = World()
    for _ in range(3):
        assert world.revocation_state.look_up("nobody") == (None, None)
    assert world.clients.reads == 1
    world.clients.add(replace(world.service, id="nobody"))
    world.revocation_state.changed()
    client, _ = world.revocation_state.look_up("nobody")
    assert client is not None


def test_a_start_finds_what_was_revoked_before_and_forgets_what_expired() -> None:
    world = World()
    world.revocation_state.revoke_token("i", "long", LATER)
    world.revocation_state.revoke_token("i", "short", int(NOW) + 1)
    clock = Clock(NOW + 10)
    again = RevocationState(world.revocations, world.clients, world.tenants, clock=clock)
    again.load()
    assert again.is_revoked("i", "long")
    assert not again.is_revoked("i", "short")
    assert again.epoch == world.revocation_state.epoch
    assert set(world.revocations.revoked(0)) == {("i", "long")}


def test_another_replica_sees_a_change_when_it_refreshes() -> None:
    world = World()
    other = RevocationState(world.revocations, world.clients, world.tenants, clock=world.clock)
    other.load()
    other.look_up("service")
    assert not other.refresh()
    world.revocation_state.revoke_token("i", "t", LATER)
    world.revocation_state.save_client(replace(world.service, disabled=True))
    assert other.refresh()
    assert other.is_revoked("i", "t")
    client, _ = other.look_up("service")
    assert client is not None
    assert client.disabled


def test_a_replica_that_revokes_itself_learns_what_others_revoked() -> None:
    world = World()
    other = RevocationState(world.revocations, world.clients, world.tenants, clock=world.clock)
    other.load()
    world.revocation_state.revoke_token("i", "theirs", LATER)
    other.revoke_token("i", "mine", LATER)
    assert other.is_revoked("i", "theirs")
    assert other.is_revoked("i", "mine")


def test_a_record_read_during_a_change_is_not_kept() -> None:
    world = World()
    reading, changed = threading.Event(), threading.Event()

    class SlowClients(MemoryClientStore):
        def get(self, client_id: str) -> Client | None:
            found = super().get(client_id)
            reading.set()
            assert changed.wait(10)
            return found

    slow = SlowClients()
    slow.add(world.service)
    revocation_state = RevocationState(world.revocations, slow, world.tenants, clock=world.clock)
    revocation_state.load()
    reader = threading.Thread(target=revocation_state.look_up, args=("service",))
    reader.start()
    assert reading.wait(10)
    revocation_state.save_client(replace(world.service, disabled=True))
    changed.set()
    reader.join(10)
    assert revocation_state.remembered("service") is None
    client, _ = revocation_state.look_up("service")
    assert client is not None
    assert client.disabled


def test_a_revocation_that_cannot_be_stored_did_not_happen() -> None:
    world = World()
    epoch = world.revocation_state.epoch
    world.revocations.broken = True
    with pytest.raises(StorageUnavailable):
        world.revocation_state.revoke_token("i", "t", LATER)
    assert world.revocation_state.epoch == epoch
    assert not world.revocation_state.is_revoked("i", "t")


def test_a_change_that_fails_half_way_is_not_hidden_by_memory() -> None:
    world = World()
    world.revocation_state.look_up("service")
    world.revocations.broken = True
    with pytest.raises(StorageUnavailable):
        world.revocation_state.save_client(replace(world.service, disabled=True))
    client, _ = world.revocation_state.look_up("service")
    assert client is not None
    assert client.disabled


def test_an_absent_record_cannot_be_changed() -> None:
    world = World()
    with pytest.raises(UnknownRecord):
        world.revocation_state.save_client(replace(world.service, id="nobody"))
    with pytest.raises(UnknownRecord):
        world.revocation_state.save_client(replace(world.service, tenant="south"))


def test_memory_stays_bounded_when_tokens_expire() -> None:
    world = World()
    revocation_state = RevocationState(
        MemoryRevocationStore(), world.clients, world.tenants, clock=world.clock
    )
    revocation_state.load()
    for n in range(SWEEP + 1):
        world.clock.now = NOW + n
        revocation_state.revoke_token("i", str(n), int(NOW) + n)
    assert not revocation_state.is_revoked("i", "0")
    assert revocation_state.is_revoked("i", str(SWEEP))
