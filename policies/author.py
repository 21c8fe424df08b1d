"""Publishing: from a text to a set in force, and back into force at the next start.

1. Nothing is stored that would not load: the text is prepared first, where it can harm nobody
   (`policies.ports.Preparing`), and what this process does with it afterwards is bounded.
2. A bundle is durable before it is in force, and `publish` returns after both: a decision that
   begins later, here or after a restart, uses this set or a newer one.
3. A stored set that cannot be used is refused for its tenant alone: everything is denied there, as
   an older set might allow what a newer one took away. The others are not kept from starting.
4. Two publishers at once get two epochs or an error, never one epoch twice: the store refuses.
5. What signs, and what signed before, is asked anew each time; while a key follows another nothing
   is published, so that no newest set is left with the key of before (`policies.signers`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from policies.bundle import SignedBundle, sign_bundle
from policies.compiled import Prepared, join
from policies.engine import PolicyEngine
from policies.errors import PolicySetInvalid, Problem
from policies.ports import BundleStore, Preparing
from policies.preparing_here import PreparingHere
from policies.signers import BundleKeys
from policies.standing import Standing, able

PAGE: Final = 200
"""Bundles or tenants read from the store at once."""


class PolicyAuthor:
    """Publishes policy sets and restores them.

    Args:
        engine: Where they come into force.
        store: Where they are kept.
        keys: Returns what signs and verifies bundles now.
        clock: Unix seconds.
        preparing: Where texts are prepared; by default in this process, for texts of our own.
    """

    def __init__(
        self,
        engine: PolicyEngine,
        store: BundleStore,
        keys: Callable[[], BundleKeys],
        clock: Callable[[], float],
        preparing: Preparing | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._preparing = preparing or PreparingHere(clock)
        self._refused: Mapping[str, tuple[Problem, ...]] = MappingProxyType({})

    @property
    def refused(self) -> Mapping[str, tuple[Problem, ...]]:
        """Tenants whose stored set cannot be used, and why: everything is denied there."""
        return self._refused

    def prepare(self, tenant: str, text: str, standing: Standing | None = None) -> Prepared:
        """Look at a text that a tenant may publish then; blocks, and holds nobody else up.

        Args:
            tenant: Whose text it is.
            text: Cedar policies.
            standing: Who must still be able to steer the tenant.

        Raises:
            PolicySetInvalid: It cannot be published; `problems` says why.
        """
        newest = self._store.latest(tenant)
        current = None if newest is None or tenant in self._refused else newest.text
        return self._preparing.prepare(tenant, text, standing, current)

    def publish(
        self, tenant: str, text: str, author: str, prepared: Prepared | None = None
    ) -> SignedBundle:
        """Make `text` the policy set of `tenant`.

        Args:
            tenant: Whose set it is.
            text: Cedar policies.
            author: Reference of who publishes; no personal datum.
            prepared: What `prepare` gave for this text; None prepares it first.

        Returns:
            The signed bundle, durable and in force.

        Raises:
            PolicySetInvalid: The text is not acceptable; nothing was changed.
            EpochExists: Somebody published meanwhile; nothing was changed.
            BundleRefused: A tenant id or author that no bundle may have.
        """
        prepared = prepared or self.prepare(tenant, text)
        with self._lock:
            key, latest = self._keys().key, self._store.latest(tenant)
            bundle = sign_bundle(
                SignedBundle(
                    tenant=tenant,
                    epoch=1 if latest is None else latest.epoch + 1,
                    previous=None if latest is None else latest.digest,
                    author=author,
                    text=text,
                    created=int(self._clock()),
                ),
                key,
            )
            self._store.put(bundle)
            self._load(bundle, prepared)
        return bundle

    def could(self, text: str, prepared: Prepared, standing: Standing, action: str) -> bool:
        """Tell whether somebody of a tenant could steer it under a text that was prepared."""
        return able(join(text, prepared).handle, standing, action)

    def current(self, tenant: str) -> SignedBundle | None:
        """Return the newest stored bundle of a tenant, or None."""
        return self._store.latest(tenant)

    def at(self, tenant: str, epoch: int) -> SignedBundle | None:
        """Return the stored bundle of an epoch, or None."""
        found = self._store.list(tenant, after=epoch - 1, limit=1) if epoch > 0 else ()
        return found[0] if found and found[0].epoch == epoch else None

    def history(self, tenant: str, *, after: int, limit: int) -> list[SignedBundle]:
        """Return up to `limit` bundles of a tenant with an epoch greater than `after`."""
        return list(self._store.list(tenant, after=after, limit=limit))

    def enforce(self, tenant: str) -> SignedBundle | None:
        """Bring the newest stored bundle of a tenant into force and return it, or None.

        It is in force already, unless whoever published it could not know that it was stored.
        """
        with self._lock:
            newest = self._store.latest(tenant)
            if newest is not None and newest.digest != self._engine.in_force(tenant):
                prepared = self._preparing.stored([newest.text])[0]
                if isinstance(prepared, PolicySetInvalid):
                    refused = {**self._refused, tenant: prepared.problems}
                    self._refused = MappingProxyType(refused)
                else:
                    self._load(newest, prepared)
        return newest

    def resign(self, then: Callable[[], object]) -> None:
        """Let the key that is about to sign sign the newest set of every tenant; then call `then`.

        Nothing is published meanwhile. It may be repeated, also when `then` was called.

        Args:
            then: Lets that key be the one that signs.
        """
        with self._lock:
            keys = self._keys()
            key = keys.successor or keys.key
            for tenant in self._tenants():
                newest = self._store.latest(tenant)
                if newest is not None:
                    self._store.resign(sign_bundle(newest, key))
            then()

    def restore(self) -> int:
        """Bring the newest set of every tenant into force, after checking its whole history.

        A set that cannot be used is left out, and `refused` tells of it.

        Returns:
            How many tenants have a set in force.

        Raises:
            BundleRefused: A history was tampered with: the process must not become ready.
        """
        newest = [bundle for tenant in self._tenants() if (bundle := self._verified(tenant))]
        texts = list(dict.fromkeys(bundle.text for bundle in newest))
        prepared = dict(zip(texts, self._preparing.stored(texts), strict=True))
        refused = {}
        for bundle in newest:
            found = prepared[bundle.text]
            if isinstance(found, PolicySetInvalid):
                refused[bundle.tenant] = found.problems
            else:
                self._load(bundle, found)
        self._refused = MappingProxyType(refused)
        return len(newest) - len(refused)

    def _load(self, bundle: SignedBundle, prepared: Prepared) -> None:
        key = self._keys().newest(bundle)
        self._engine.load(bundle, key, tenant=bundle.tenant, prepared=prepared)
        if bundle.tenant in self._refused:
            left = {name: why for name, why in self._refused.items() if name != bundle.tenant}
            self._refused = MappingProxyType(left)

    def _verified(self, tenant: str) -> SignedBundle | None:
        self._keys().verify_chain(self._history(tenant), tenant)
        return self._store.latest(tenant)

    def _tenants(self) -> Iterator[str]:
        after = ""
        while page := self._store.tenants(after=after, limit=PAGE):
            yield from page
            after = page[-1]

    def _history(self, tenant: str) -> Iterator[SignedBundle]:
        after = 0
        while page := self._store.list(tenant, after=after, limit=PAGE):
            yield from page
            after = page[-1].epoch
