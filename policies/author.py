"""Publishing: from a text to a set in force, and back into force at the next start.

1. Nothing is stored that would not load: the text is compiled first.
2. A bundle is durable before it is in force, and `publish` returns after both: a decision that
   begins later, here or after a restart, uses this set or a newer one.
3. Two publishers at once get two epochs or an error, never one epoch twice: the store refuses.
4. What signs, and what signed before, is asked anew each time; while a key follows another nothing
   is published, so that no newest set is left with the key of before (`policies.signers`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

from policies.bundle import SignedBundle, sign_bundle
from policies.compiled import compile_set
from policies.engine import PolicyEngine
from policies.errors import PolicySetInvalid, Problem
from policies.ports import BundleStore
from policies.signers import BundleKeys

PAGE: Final = 200
"""Bundles or tenants read from the store at once."""


class PolicyAuthor:
    """Publishes policy sets and restores them.

    Args:
        engine: Where they come into force.
        store: Where they are kept.
        keys: Returns what signs and verifies bundles now.
        clock: Unix seconds.
    """

    def __init__(
        self,
        engine: PolicyEngine,
        store: BundleStore,
        keys: Callable[[], BundleKeys],
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._store = store
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()

    def check(self, text: str) -> tuple[Problem, ...]:
        """Return what is wrong with a text; empty when it could be published."""
        try:
            compile_set(text)
        except PolicySetInvalid as error:
            return error.problems
        return ()

    def publish(self, tenant: str, text: str, author: str) -> SignedBundle:
        """Make `text` the policy set of `tenant`.

        Args:
            tenant: Whose set it is.
            text: Cedar policies.
            author: Reference of who publishes; no personal datum.

        Returns:
            The signed bundle, durable and in force.

        Raises:
            PolicySetInvalid: The text is not acceptable; nothing was changed.
            EpochExists: Somebody published meanwhile; nothing was changed.
            BundleRefused: A tenant id or author that no bundle may have.
        """
        compile_set(text)
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
            self._engine.load(bundle, key.public_key(), tenant=tenant)
        return bundle

    def current(self, tenant: str) -> SignedBundle | None:
        """Return the newest stored bundle of a tenant, or None."""
        return self._store.latest(tenant)

    def enforce(self, tenant: str) -> SignedBundle | None:
        """Bring the newest stored bundle of a tenant into force and return it, or None.

        It is in force already, unless whoever published it could not know that it was stored.
        """
        with self._lock:
            newest = self._store.latest(tenant)
            if newest is not None:
                self._engine.load(newest, self._keys().newest(newest), tenant=tenant)
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

        Returns:
            How many tenants have a set.

        Raises:
            BundleRefused: A history was tampered with: the process must not become ready.
        """
        count, keys = 0, self._keys()
        for tenant in self._tenants():
            keys.verify_chain(self._history(tenant), tenant)
            newest = self._store.latest(tenant)
            if newest is not None:
                self._engine.load(newest, keys.newest(newest), tenant=tenant)
                count += 1
        return count

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
