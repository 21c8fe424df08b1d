"""Signing keys that follow one another, and versions of a tenant's key that end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from gateway.artifacts.errors import KeystoreCorrupt, KeyUnavailable, KeyUnwrapFailed
from gateway.artifacts.key_document import _mac, decode_document
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.signing_rings import MAX_ACCEPTED
from gateway.artifacts.unlock import KeyFile
from gateway.errors import LimitReached, StateConflict
from tests.gateway.identity.fakes import NOW, Clock

AAD = b"payload/" + b"d" * 64
SMALL = b"k" * 16
Opened = Callable[[], LocalKeyStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reopened(tmp_path: Path, clock: Clock) -> Opened:
    """Opens the keystore anew, as the next process does."""
    unlock = KeyFile(tmp_path / "root.key")
    LocalKeyStore.create(tmp_path / "keys", unlock, clock=clock).create_tenant("acme")
    return lambda: LocalKeyStore.open(tmp_path / "keys", unlock, clock=clock)


@pytest.fixture
def store(reopened: Opened) -> LocalKeyStore:
    return reopened()


def public(store: LocalKeyStore, purpose: str = "token") -> bytes:
    return store.signing_key(purpose).public_key().public_bytes_raw()


def test_a_new_key_signs_and_the_public_half_of_the_old_one_stays_to_its_end(
    store: LocalKeyStore, clock: Clock, reopened: Opened
) -> None:
    old = public(store)
    store.rotate_signing("token", after=1, overlap=600)
    for keys in (store, reopened()):
        ring = keys.ring("token")
        assert (ring.number, ring.made, ring.successor) == (2, NOW, None)
        former = [(one.number, one.public, one.ends) for one in ring.former]
        assert former == [(1, old, NOW + 600)]
        assert public(keys) != old
    clock.now += 600
    assert store.ring("token").former == ()


def test_the_private_half_of_the_old_key_is_in_the_file_no_more(
    store: LocalKeyStore, tmp_path: Path
) -> None:
    store.signing_key("token")
    path = tmp_path / "keys" / "keys"
    before = decode_document(path.read_bytes()).signing["token"]
    store.rotate_signing("token", after=1, overlap=600)
    after = path.read_bytes()
    assert before not in after
    assert msgspec.json.encode(before)[1:-1] not in after
    assert [p.name for p in path.parent.iterdir() if p.name != "lock"] == ["keys"]


def test_an_overlap_of_none_ends_every_key_of_before(store: LocalKeyStore) -> None:
    store.rotate_signing("token", after=1, overlap=600)
    store.rotate_signing("token", after=2, overlap=900)
    assert [one.ends for one in store.ring("token").former] == [NOW + 900, NOW + 600]
    store.rotate_signing("token", after=3, overlap=0)
    assert store.ring("token").former == ()


def test_two_rotations_of_one_key_are_one_rotation_and_a_refusal(
    store: LocalKeyStore, reopened: Opened
) -> None:
    store.signing_key("token")
    start, ends = threading.Barrier(2), list[str]()

    def rotate(keys: LocalKeyStore) -> None:
        start.wait()
        try:
            keys.rotate_signing("token", after=1, overlap=600)
            ends.append("done")
        except StateConflict:
            ends.append("refused")

    threads = [threading.Thread(target=rotate, args=(keys,)) for keys in (store, reopened())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["done", "refused"]
    assert store.ring("token").number == 2


def test_after_a_refused_change_the_newest_file_is_used(
    store: LocalKeyStore, reopened: Opened
) -> None:
    """The refused change has read the file of the other process: nothing older is remembered."""
    store.signing_key("token")
    reopened().rotate_signing("token", after=1, overlap=0)
    with pytest.raises(StateConflict):
        store.rotate_signing("token", after=1, overlap=0)
    assert store.ring("token").number == 2


def test_many_former_keys_are_refused_unless_all_are_to_end(
    store: LocalKeyStore, clock: Clock
) -> None:
    for number in range(1, MAX_ACCEPTED + 1):
        store.rotate_signing("token", after=number, overlap=600)
    with pytest.raises(LimitReached) as refused:
        store.rotate_signing("token", after=MAX_ACCEPTED + 1, overlap=600)
    assert refused.value.retry_after == "600"
    store.rotate_signing("token", after=MAX_ACCEPTED + 1, overlap=0)
    assert store.ring("token").former == ()


def test_a_successor_signs_once_the_succession_is_complete_and_not_before(
    store: LocalKeyStore, reopened: Opened
) -> None:
    old = public(store, "log/x")
    store.prepare_successor("log/x", after=1)
    store.prepare_successor("log/x", after=1)  # the same one
    for keys in (store, reopened()):
        ring = keys.ring("log/x")
        assert ring.number == 1
        assert public(keys, "log/x") == old
        assert ring.successor is not None
    assert ring.successor is not None
    coming = ring.successor.public_key().public_bytes_raw()
    with pytest.raises(StateConflict):
        store.rotate_signing("log/x", after=1, overlap=0)
    store.complete_succession("log/x", after=1, endorsement="note")
    store.complete_succession("log/x", after=1, endorsement="note")
    ring = reopened().ring("log/x")
    assert (ring.number, ring.successor, public(store, "log/x")) == (2, None, coming)
    assert [(f.public, f.ends, f.endorsement) for f in ring.former] == [(old, None, "note")]
    for wrong in (2, 3):
        with pytest.raises(StateConflict):
            store.complete_succession("log/x", after=wrong, endorsement="")
    with pytest.raises(StateConflict):
        store.prepare_successor("log/x", after=1)


def test_a_former_seed_cannot_be_put_back(store: LocalKeyStore, tmp_path: Path) -> None:
    """Whoever has the root key, too, and writes the file, is told by the number in the wrapping."""
    store.signing_key("token")
    path = tmp_path / "keys" / "keys"
    before = decode_document(path.read_bytes())
    store.rotate_signing("token", after=1, overlap=0)
    document = decode_document(path.read_bytes())
    document.signing["token"] = before.signing["token"]
    body = msgspec.json.encode(document)
    path.write_bytes(_mac(store._root, body) + body)
    with pytest.raises(KeyUnwrapFailed):
        store.signing_key("token")


def test_a_tenants_key_has_an_age_and_an_end(
    store: LocalKeyStore, clock: Clock, reopened: Opened
) -> None:
    wrapped = store.wrap("acme", SMALL, AAD)
    assert store.wraps_newest("acme", wrapped)
    clock.now += 60
    store.rotate("acme", after=1, overlap=600)
    key = reopened().tenant_key("acme")
    assert (key.version, key.made, key.oldest, key.until) == (2, NOW + 60, 1, NOW + 660)
    assert not store.wraps_newest("acme", wrapped)
    assert store.due(NOW + 659) == []
    assert store.due(NOW + 660) == ["acme"]
    with pytest.raises(StateConflict):
        store.rotate("acme", after=1)


def test_a_retired_version_opens_nothing_and_the_newest_goes_on(
    store: LocalKeyStore, reopened: Opened
) -> None:
    old = store.wrap("acme", SMALL, AAD)
    store.rotate("acme")
    new = store.wrap("acme", SMALL, AAD)
    store.retire("acme", version=2)
    store.retire("acme", version=2)
    for keys in (store, reopened()):
        assert keys.unwrap("acme", new, AAD) == SMALL
        with pytest.raises(KeyUnwrapFailed):
            keys.unwrap("acme", old, AAD)
        assert keys.tenant_key("acme").oldest == 2
        assert keys.due(NOW + 10**9) == []
    store.retire("acme", version=99)  # never the newest
    assert store.unwrap("acme", new, AAD) == SMALL


def test_a_destroyed_tenant_has_no_key_to_rotate(store: LocalKeyStore) -> None:
    store.rotate("acme", overlap=0)
    store.destroy("acme")
    assert store.due(NOW + 10) == []
    for ask in (store.tenant_key, store.rotate, lambda t: store.retire(t, version=2)):
        with pytest.raises(KeyUnavailable):
            ask("acme")


class OldTenantKeys(msgspec.Struct, forbid_unknown_fields=True):
    """As the first release wrote it."""

    state: Literal["active", "disabled", "destroyed"]
    versions: list[bytes]
    mac: bytes
    release: bytes


class OldDocument(msgspec.Struct, forbid_unknown_fields=True):
    """As the first release wrote it."""

    unlock: str
    salt: bytes
    root: bytes
    tenants: dict[str, OldTenantKeys]
    signing: dict[str, bytes]
    format: Literal[1] = 1


def test_the_keystore_of_the_first_release_opens_and_its_keys_can_be_replaced(
    store: LocalKeyStore, tmp_path: Path, reopened: Opened
) -> None:
    wrapped, old = store.wrap("acme", SMALL, AAD), public(store)
    path = tmp_path / "keys" / "keys"
    new = decode_document(path.read_bytes())
    tenants = {
        name: OldTenantKeys(t.state, t.versions, t.mac, t.release)
        for name, t in new.tenants.items()
    }
    document = OldDocument(new.unlock, new.salt, new.root, tenants, new.signing)
    body = msgspec.json.encode(document, order="sorted")
    path.write_bytes(_mac(store._root, body) + body)
    keys = reopened()
    assert keys.unwrap("acme", wrapped, AAD) == SMALL
    assert (keys.ring("token").number, keys.ring("token").made, public(keys)) == (1, 0, old)
    assert (keys.tenant_key("acme").version, keys.tenant_key("acme").made) == (1, 0)
    keys.rotate_signing("token", after=1, overlap=600)
    keys.rotate("acme", after=1, overlap=600)
    assert [one.public for one in reopened().ring("token").former] == [old]
    assert reopened().unwrap("acme", wrapped, AAD) == SMALL


def test_until_a_key_is_replaced_the_first_release_could_go_on_with_the_file(
    tmp_path: Path, clock: Clock
) -> None:
    LocalKeyStore.create(tmp_path / "keys", KeyFile(tmp_path / "root.key"), clock=clock)
    body = (tmp_path / "keys" / "keys").read_bytes()[32:]
    assert msgspec.json.decode(body, type=OldDocument).tenants == {}


def test_a_file_that_was_altered_is_refused(store: LocalKeyStore, tmp_path: Path) -> None:
    store.rotate_signing("token", after=1, overlap=600)
    path = tmp_path / "keys" / "keys"
    path.write_bytes(path.read_bytes().replace(b'"ends":', b'"ends":1', 1))
    with pytest.raises(KeystoreCorrupt):
        store.ring("token")
