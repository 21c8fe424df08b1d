from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

import audit.errors
from gateway.artifacts.errors import (
    KeystoreAbsent,
    KeystoreCorrupt,
    KeystorePresent,
    KeystoreUnsafe,
    KeyUnavailable,
    KeyUnwrapFailed,
)
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.unlock import Credential, KeyFile, Passphrase, Unlock

AAD = b"payload/" + b"d" * 64
SMALL = b"k" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keystore"


@pytest.fixture
def unlock(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "root.key")


@pytest.fixture
def store(folder: Path, unlock: KeyFile) -> LocalKeyStore:
    made = LocalKeyStore.create(folder, unlock)
    made.create_tenant("acme")
    return made


def test_it_is_a_key_provider(store: LocalKeyStore) -> None:
    provider: KeyProvider = store
    assert provider.unwrap("acme", provider.wrap("acme", SMALL, AAD), AAD) == SMALL


def test_keys_survive_reopening(store: LocalKeyStore, folder: Path, unlock: KeyFile) -> None:
    wrapped = store.wrap("acme", SMALL, AAD)
    again = LocalKeyStore.open(folder, unlock)
    assert again.unwrap("acme", wrapped, AAD) == SMALL
    assert again.mac_key("acme") == store.mac_key("acme")
    ask: Callable[[LocalKeyStore], Ed25519PrivateKey]
    for ask in (lambda s: s.release_key("acme"), lambda s: s.signing_key("token")):
        assert ask(again).private_bytes_raw() == ask(store).private_bytes_raw()


def test_a_wrapped_key_opens_for_its_tenant_and_use_only(store: LocalKeyStore) -> None:
    store.create_tenant("other")
    wrapped = store.wrap("acme", SMALL, AAD)
    for tenant, blob, aad in (
        ("acme", wrapped, AAD + b"x"),
        ("acme", wrapped, b""),
        ("other", wrapped, AAD),
        ("acme", wrapped[:-1], AAD),
        ("acme", b"", AAD),
        ("acme", b"\0\0\0\2" + wrapped[4:], AAD),
    ):
        with pytest.raises(KeyUnwrapFailed):
            store.unwrap(tenant, blob, aad)
    for position in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[position] ^= 1
        with pytest.raises(KeyUnwrapFailed):
            store.unwrap("acme", bytes(altered), AAD)


@given(wrapped=st.binary(max_size=80))
def test_any_bytes_end_as_our_error(wrapped: bytes, shared: LocalKeyStore) -> None:
    with pytest.raises(KeyUnwrapFailed):
        shared.unwrap("acme", wrapped, AAD)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> LocalKeyStore:
    folder = tmp_path_factory.mktemp("shared")
    made = LocalKeyStore.create(folder / "keystore", KeyFile(folder / "root.key"))
    made.create_tenant("acme")
    return made


def test_rotation_wraps_anew_and_breaks_nothing(store: LocalKeyStore) -> None:
    before = store.wrap("acme", SMALL, AAD)
    mac, release = store.mac_key("acme"), store.release_key("acme").private_bytes_raw()
    store.rotate("acme")
    after = store.wrap("acme", SMALL, AAD)
    assert (before[:4], after[:4]) == (b"\0\0\0\1", b"\0\0\0\2")
    assert store.unwrap("acme", before, AAD) == store.unwrap("acme", after, AAD) == SMALL
    assert store.mac_key("acme") == mac
    assert store.release_key("acme").private_bytes_raw() == release
    with pytest.raises(KeyUnwrapFailed):
        store.unwrap("acme", after[:4] + before[4:], AAD)


USES: list[Callable[[LocalKeyStore], object]] = [
    lambda s: s.wrap("acme", SMALL, AAD),
    lambda s: s.mac_key("acme"),
    lambda s: s.release_key("acme"),
    lambda s: s.rotate("acme"),
]


def test_a_disabled_tenant_is_refused_until_it_is_enabled(store: LocalKeyStore) -> None:
    wrapped = store.wrap("acme", SMALL, AAD)
    store.disable("acme")
    uses: list[Callable[[LocalKeyStore], object]] = [
        *USES,
        lambda s: s.unwrap("acme", wrapped, AAD),
    ]
    for use in uses:
        with pytest.raises(KeyUnavailable):
            use(store)
    store.enable("acme")
    assert store.unwrap("acme", wrapped, AAD) == SMALL


def test_a_destroyed_key_shreds_what_it_wrapped(
    store: LocalKeyStore, folder: Path, unlock: KeyFile
) -> None:
    wrapped = store.wrap("acme", SMALL, AAD)
    file = folder / "keys"
    with file.open("rb") as held:
        before = held.read()
        store.destroy("acme")
        held.seek(0)
        assert held.read() == bytes(len(before)), "the old file's blocks were not overwritten"
    uses: list[Callable[[LocalKeyStore], object]] = [
        *USES,
        lambda s: s.unwrap("acme", wrapped, AAD),
        lambda s: s.enable("acme"),
    ]
    for reader in (store, LocalKeyStore.open(folder, unlock)):
        for use in uses:
            with pytest.raises(KeyUnavailable):
                use(reader)
        with pytest.raises(KeyUnavailable):
            reader.create_tenant("acme")
    store.destroy("acme")
    assert file.stat().st_size < len(before)


def test_a_destruction_holds_in_another_process_at_once(
    store: LocalKeyStore, folder: Path, unlock: KeyFile
) -> None:
    other = LocalKeyStore.open(folder, unlock)
    wrapped = other.wrap("acme", SMALL, AAD)
    store.destroy("acme")
    with pytest.raises(KeyUnavailable):
        other.unwrap("acme", wrapped, AAD)


def test_two_processes_lose_no_change_of_each_other(
    store: LocalKeyStore, folder: Path, unlock: KeyFile
) -> None:
    other = LocalKeyStore.open(folder, unlock)
    store.create_tenant("one")
    other.create_tenant("two")
    store.rotate("two")
    assert LocalKeyStore.open(folder, unlock).wrap("two", SMALL, AAD)[:4] == b"\0\0\0\2"
    assert other.wrap("one", SMALL, AAD)


def test_signing_keys_outlive_tenants_and_differ(store: LocalKeyStore) -> None:
    purposes = ["token", "policy", "log/sealgate.example/acme"]
    keys = [store.signing_key(purpose).private_bytes_raw() for purpose in purposes]
    store.destroy("acme")
    assert [store.signing_key(purpose).private_bytes_raw() for purpose in purposes] == keys
    assert len(set(keys)) == len(keys)
    for purpose in ("", "a b", "é", "x" * 256):
        with pytest.raises(KeyUnavailable):
            store.signing_key(purpose)


def test_an_unknown_tenant_looks_like_a_destroyed_one(store: LocalKeyStore) -> None:
    for use in (
        lambda: store.wrap("nobody", SMALL, AAD),
        lambda: store.destroy("nobody"),
        lambda: store.disable("nobody"),
        lambda: store.create_tenant("../acme"),
    ):
        with pytest.raises(KeyUnavailable) as caught:
            use()
        assert isinstance(caught.value, audit.errors.KeyUnavailable)
        assert caught.value.code == "key_unavailable"


def test_creating_a_tenant_twice_keeps_its_keys(store: LocalKeyStore) -> None:
    wrapped = store.wrap("acme", SMALL, AAD)
    store.create_tenant("acme")
    assert store.unwrap("acme", wrapped, AAD) == SMALL


def test_nothing_in_the_folder_is_open_to_others(store: LocalKeyStore, folder: Path) -> None:
    store.rotate("acme")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_files_open_to_others_are_refused(
    store: LocalKeyStore, folder: Path, unlock: KeyFile, mode: int
) -> None:
    for path in (folder / "keys", unlock.path):
        path.chmod(mode)
        with pytest.raises(KeystoreUnsafe):
            LocalKeyStore.open(folder, unlock)
        path.chmod(0o600)
    folder.chmod(0o700 | mode & 0o077)
    with pytest.raises(KeystoreUnsafe):
        LocalKeyStore.open(folder, unlock)


def test_a_symbolic_link_is_refused(store: LocalKeyStore, folder: Path, unlock: KeyFile) -> None:
    (folder / "keys").rename(folder / "real")
    (folder / "keys").symlink_to("real")
    with pytest.raises(KeystoreUnsafe):
        LocalKeyStore.open(folder, unlock)


def test_no_byte_of_the_file_can_be_changed(
    store: LocalKeyStore, folder: Path, unlock: KeyFile
) -> None:
    file = folder / "keys"
    good = file.read_bytes()
    for position in range(0, len(good), 7):
        altered = bytearray(good)
        altered[position] ^= 1
        file.write_bytes(altered)
        with pytest.raises(KeystoreCorrupt):
            LocalKeyStore.open(folder, unlock)
    file.write_bytes(good)
    LocalKeyStore.open(folder, unlock)


@given(data=st.binary(max_size=200) | st.just(b'{"format":1}'))
def test_any_file_ends_as_our_error(
    data: bytes, tmp_path_factory: pytest.TempPathFactory, shared: LocalKeyStore
) -> None:
    folder = tmp_path_factory.mktemp("any") / "keystore"
    folder.mkdir(mode=0o700)
    (folder / "keys").touch(0o600)
    (folder / "keys").write_bytes(bytes(32) + data)
    with pytest.raises(KeystoreCorrupt):
        LocalKeyStore.open(folder, KeyFile(folder / "root.key"))


CUT = """
import os, sys
from pathlib import Path
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.unlock import KeyFile

store = LocalKeyStore.open(Path(sys.argv[1]), KeyFile(Path(sys.argv[2])))
os.replace = lambda *_: os._exit(9)  # the machine dies between write and rename
store.rotate("acme")
"""


@pytest.mark.e2e
def test_a_death_between_write_and_rename_leaves_the_old_state(
    store: LocalKeyStore, folder: Path, unlock: KeyFile
) -> None:
    wrapped = store.wrap("acme", SMALL, AAD)
    script = [sys.executable, "-c", CUT, str(folder), str(unlock.path)]
    assert subprocess.run(script).returncode == 9
    assert (folder / "keys.new").exists()
    again = LocalKeyStore.open(folder, unlock)
    assert again.unwrap("acme", wrapped, AAD) == SMALL
    assert again.wrap("acme", SMALL, AAD)[:4] == b"\0\0\0\1"
    again.rotate("acme")
    assert not (folder / "keys.new").exists()
    assert store.wrap("acme", SMALL, AAD)[:4] == b"\0\0\0\2"


def test_a_keystore_is_never_made_over_another(
    store: LocalKeyStore, folder: Path, unlock: KeyFile
) -> None:
    with pytest.raises(KeystorePresent):
        LocalKeyStore.create(folder, unlock)


def test_what_is_absent_is_said_to_be(folder: Path, unlock: KeyFile, tmp_path: Path) -> None:
    with pytest.raises(KeystoreAbsent):
        LocalKeyStore.open(folder, unlock)
    LocalKeyStore.create(folder, unlock)
    unlock.path.unlink()
    with pytest.raises(KeystoreAbsent):
        LocalKeyStore.open(folder, unlock)


def make_secret(path: Path, mode: int) -> Path:
    path.write_bytes(os.urandom(32))
    path.chmod(mode)
    return path


def test_every_way_to_unlock(tmp_path: Path) -> None:
    ways: list[tuple[Unlock, Unlock]] = [
        (Passphrase("correct horse battery"), Passphrase("correct horse batterz")),
        (
            Credential(make_secret(tmp_path / "a", 0o440)),
            Credential(make_secret(tmp_path / "b", 0o440)),
        ),
        (KeyFile(make_secret(tmp_path / "c", 0o600)), KeyFile(make_secret(tmp_path / "d", 0o600))),
    ]
    for right, wrong in ways:
        folder = tmp_path / right.method
        made = LocalKeyStore.create(folder, right)
        made.create_tenant("acme")
        wrapped = made.wrap("acme", SMALL, AAD)
        assert LocalKeyStore.open(folder, right).unwrap("acme", wrapped, AAD) == SMALL
        with pytest.raises(KeystoreCorrupt):
            LocalKeyStore.open(folder, wrong)
        other = next(way for way, _ in ways if way.method != right.method)
        with pytest.raises(KeystoreCorrupt, match="another method"):
            LocalKeyStore.open(folder, other)


def test_weak_or_readable_secrets_are_refused(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.touch(0o600)
    short.write_bytes(b"x" * 31)
    unsafe: list[Unlock] = [
        Passphrase("short"),
        KeyFile(short),
        KeyFile(make_secret(tmp_path / "group", 0o640)),
        Credential(make_secret(tmp_path / "world", 0o444)),
    ]
    for number, unlock in enumerate(unsafe):
        with pytest.raises(KeystoreUnsafe):
            LocalKeyStore.create(tmp_path / str(number), unlock)
        assert not (tmp_path / str(number) / "keys").exists()


def test_a_passphrase_is_not_shown() -> None:
    assert "horse" not in repr(Passphrase("correct horse battery"))


def test_randomness_comes_from_the_argument(tmp_path: Path) -> None:
    def same(n: int) -> bytes:
        return b"r" * n

    stores = [
        LocalKeyStore.create(tmp_path / name, KeyFile(tmp_path / f"{name}.key"), same)
        for name in "ab"
    ]
    for store in stores:
        store.create_tenant("acme")
    assert stores[0].wrap("acme", SMALL, AAD) == stores[1].wrap("acme", SMALL, AAD)
