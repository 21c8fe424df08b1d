"""The port to whatever holds keys: a local keystore, a vault, a cloud's key service."""

from __future__ import annotations

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class KeyProvider(Protocol):
    """Keys in three layers: a root, tenants' keys under it, and small keys under those.

    Promises:

    - A change is durable when its method returns, and atomic: after a crash the state is the
      one before or the one after.
    - After `destroy` has returned, nothing that was wrapped for the tenant can be unwrapped any
      more, here or by another process, and its name cannot be given a new key.
    - After `disable` has returned every use fails with `KeyUnavailable`, until `enable`.
    - A wrapped key opens for the same tenant and the same `aad` only, and carries the version of
      the key that wrapped it: `rotate` changes what wraps from then on and breaks nothing.
    - Methods may be called from any thread.

    Errors: `KeyUnavailable` when a key is absent, disabled or destroyed (the three look alike),
    `KeyUnwrapFailed` when wrapped bytes are not genuine.
    """

    def create_tenant(self, tenant: str) -> None:
        """Make a tenant's keys. Does nothing when it has them; refuses a destroyed name."""

    def wrap(self, tenant: str, key: bytes, aad: bytes) -> bytes:
        """Wrap a small key under the tenant's newest key."""

    def unwrap(self, tenant: str, wrapped: bytes, aad: bytes) -> bytes:
        """Return a key that `wrap` wrapped with the same `aad`."""

    def mac_key(self, tenant: str) -> bytes:
        """Return the tenant's 32-byte key for look-ups; it does not change with `rotate`."""

    def release_key(self, tenant: str) -> Ed25519PrivateKey:
        """Return the key that signs the tenant's releases; it does not change with `rotate`."""

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """Return the platform's signing key for a purpose, made when it is first asked for.

        These outlive tenants: what they signed stays verifiable after a `destroy`.

        Args:
            purpose: `token`, `policy` or `log/<origin>`.
        """

    def rotate(self, tenant: str) -> None:
        """Make a new version of the tenant's key; older ones go on unwrapping."""

    def disable(self, tenant: str) -> None:
        """Refuse every use of the tenant's keys for the time being."""

    def enable(self, tenant: str) -> None:
        """Undo `disable`."""

    def destroy(self, tenant: str) -> None:
        """Forget the tenant's keys for ever. Does nothing when they are gone already."""
