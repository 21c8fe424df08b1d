"""The port to whatever holds keys: a local keystore, a vault, a cloud's key service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Endorse = Callable[[Ed25519PrivateKey, Ed25519PrivateKey, int], str]
"""(key before, key after, Unix seconds) → what the first signs to name the second."""

UNKNOWN: Final = 0
"""Instead of a time that was not written down: keys of earlier releases have no age."""


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A signing key that was replaced: its public half is all that is left of it.

    Attributes:
        number: 1 for the first of its purpose.
        public: 32 raw bytes (Ed25519).
        made: Unix seconds, or `UNKNOWN`.
        replaced: Unix seconds.
        ends: Unix seconds after which nothing that it signed is accepted; None: for ever accepted.
        endorsement: What it signed to name the key that followed; empty where nothing asks for it.
    """

    number: int
    public: bytes
    made: int
    replaced: int
    ends: int | None = None
    endorsement: str = ""


@dataclass(frozen=True, slots=True)
class SigningRing:
    """The keys of one purpose: what signs, what will sign, what signed before.

    Attributes:
        number: Of the key that signs.
        made: When that was made: Unix seconds, or `UNKNOWN`.
        key: What signs.
        successor: What is to sign next, while that is being arranged.
        former: Newest first; those that have ended are left out.
    """

    number: int
    made: int
    key: Ed25519PrivateKey
    successor: Ed25519PrivateKey | None = None
    former: tuple[FormerKey, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantKey:
    """How a tenant's wrapping key stands.

    Attributes:
        version: Of what wraps; 1 for the first.
        made: When that was made: Unix seconds, or `UNKNOWN`.
        oldest: The oldest version that still unwraps.
        until: How long earlier versions are promised to unwrap: Unix seconds.
    """

    version: int
    made: int
    oldest: int
    until: int


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
        """Return the key that signs the tenant's releases; it does not change with `rotate`.

        Its ring is that of the purpose `gateway.artifacts.signing_rings.release_purpose`.
        """

    def convenor_seed(self, tenant: str) -> bytes:
        """Return the tenant's `convenor_seed`: it outlives release keys, but for lost ones."""

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """Return the platform's signing key for a purpose, made when it is first asked for.

        These outlive tenants: what they signed stays verifiable after a `destroy`.

        Args:
            purpose: `token`, `policy`, `log/<origin>` or `release/<tenant>`, which goes with the
                tenant.
        """

    def ring(self, purpose: str) -> SigningRing:
        """Return the keys of a purpose, as `signing_key` does the one that signs."""

    def rotate_signing(self, purpose: str, *, after: int, overlap: int) -> None:
        """Sign with a new key from now on, in one step, and forget the private half of the old one.

        Args:
            purpose: As of `signing_key`.
            after: Number of the key that is to be replaced.
            overlap: Seconds for which what it signed is accepted; earlier ones end then at last.

        Raises:
            StateConflict: Another key signs by now, or a successor is being arranged.
            LimitReached: Too many former keys are accepted still.
        """

    def replace_release_key(self, tenant: str, *, after: int, endorse: Endorse) -> None:
        """Sign releases with a new key from now on, in one step, which the old one has named.

        Args:
            tenant: Whose.
            after: Number of the key that is to be replaced.
            endorse: Returns what the old key signs; it is kept. No release is signed meanwhile.

        Raises:
            StateConflict: Another key signs by now, or a successor is being arranged.
        """

    def forget_former(self, purpose: str) -> None:
        """Accept nothing any more that a former key of the purpose signed."""

    def prepare_successor(self, purpose: str, *, after: int) -> None:
        """Make what is to sign next, unless it is there; nothing is signed with it yet.

        Raises:
            StateConflict: Another key than `after` signs by now.
            LimitReached: There were too many keys of this purpose.
        """

    def complete_succession(self, purpose: str, *, after: int, endorsement: str) -> None:
        """Let the successor sign, and forget the private half of the key before it.

        Does nothing when that is done. What the former key signed is accepted until
        `forget_former`. A release key without endorsement is lost, and the convenor's with it.

        Raises:
            StateConflict: There is no successor of that key.
        """

    def rotate(self, tenant: str, *, after: int | None = None, overlap: int = 0) -> None:
        """Make a new version of the tenant's key; older ones go on unwrapping until `retire`.

        Args:
            tenant: Whose key.
            after: The version that is to be replaced; None: whichever it is.
            overlap: Seconds for which older versions are promised to unwrap.

        Raises:
            StateConflict: Another version than `after` wraps by now.
        """

    def tenant_key(self, tenant: str) -> TenantKey:
        """Return how the tenant's wrapping key stands."""

    def wraps_newest(self, tenant: str, wrapped: bytes) -> bool:
        """Tell whether a wrapped key was wrapped by the newest version of the tenant's key."""

    def due(self, now: float) -> list[str]:
        """Return the tenants with older versions whose time is up (Unix seconds)."""

    def retire(self, tenant: str, *, version: int) -> None:
        """Destroy every version before this one: what they wrapped stays shut for ever.

        Does nothing where that is done.
        """

    def disable(self, tenant: str) -> None:
        """Refuse every use of the tenant's keys for the time being."""

    def enable(self, tenant: str) -> None:
        """Undo `disable`."""

    def destroy(self, tenant: str) -> None:
        """Forget the tenant's keys for ever. Does nothing when they are gone already."""
