"""Release keys as the gateway holds them: what verifies a link, and what partners are told."""

from __future__ import annotations

from gateway.artifacts.keys import KeyProvider, SigningRing
from gateway.artifacts.kit import release_key_id
from gateway.artifacts.release_keys import ReleaseRing, SignedSuccession, parse_succession
from gateway.artifacts.signature import LinkStatement
from gateway.artifacts.signing_rings import release_purpose


def verify_release(keys: KeyProvider, tenant: str, link: bytes) -> LinkStatement:
    """Check the signature of a link under the release key of its time.

    Raises:
        StatementInvalid: None of the tenant's keys signed it, or one that was replaced before.
        KeyUnavailable: The tenant's keys are disabled or destroyed.
    """
    return own_ring(keys.ring(release_purpose(tenant))).verify(link)


def own_ring(ring: SigningRing) -> ReleaseRing:
    """Return the keys of a tenant's releases, that which is being arranged first."""
    signs = [key for key in (ring.successor, ring.key) if key is not None]
    now: list[tuple[str, int | None]] = [(release_key_id(key.public_key()), None) for key in signs]
    return ReleaseRing((*now, *((one.public.hex(), one.replaced) for one in ring.former)))


def chain_of(ring: SigningRing) -> tuple[SignedSuccession, ...]:
    """Return how the keys of a tenant's releases followed one another, oldest first."""
    return tuple(
        parse_succession(one.endorsement.encode())
        for one in reversed(ring.former)
        if one.endorsement
    )
