"""The keys of policy bundles: what signs, and what signed before. Pure.

1. The newest bundle of a tenant is signed by the key that signs now, or by the one that is about
   to: a key that was replaced brings nothing into force.
2. Earlier ones may be signed by earlier keys, in the order of the keys: an epoch is never signed by
   a key that is older than that of the epoch before. The digests in the chain hold them in place
   under the newest signature, so a replaced key cannot change history either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.bundle import SignedBundle, verify_bundle
from policies.errors import BundleRefused


@dataclass(frozen=True, slots=True)
class BundleKeys:
    """The keys of policy bundles.

    Attributes:
        key: Signs.
        successor: Is about to sign; None: nothing is.
        former: Oldest first.
    """

    key: Ed25519PrivateKey
    successor: Ed25519PrivateKey | None = None
    former: tuple[Ed25519PublicKey, ...] = ()

    def newest(self, bundle: SignedBundle) -> Ed25519PublicKey:
        """Return the key that signed the newest bundle of a tenant.

        Raises:
            BundleRefused: It is none that may sign now.
        """
        now = [self.key.public_key()]
        if self.successor is not None:
            now.append(self.successor.public_key())
        return now[_signed_by(bundle, now, 0)]

    def verify_chain(self, bundles: Iterable[SignedBundle], tenant: str) -> None:
        """Check that bundles are a tenant's whole history, from epoch 1 on, each genuine.

        Raises:
            BundleRefused: One is missing, replaced, not the tenant's or not genuine, or the newest
                is signed by a key that was replaced.
        """
        keys = [*self.former, self.key.public_key()]
        if self.successor is not None:
            keys.append(self.successor.public_key())
        at, previous, newest = 0, None, None
        for epoch, bundle in enumerate(bundles, start=1):
            at = _signed_by(bundle, keys, at)
            if (bundle.tenant, bundle.epoch, bundle.previous) != (tenant, epoch, previous):
                raise BundleRefused("the history of the policy bundles is broken")
            previous, newest = bundle.digest, bundle
        if newest is not None:
            self.newest(newest)


def _signed_by(bundle: SignedBundle, keys: list[Ed25519PublicKey], first: int) -> int:
    """Return which key signed a bundle, from the first that may have.

    Raises:
        BundleRefused: None did.
    """
    fault = BundleRefused("the policy bundle is not signed by the expected key")
    for number in range(first, len(keys)):
        try:
            verify_bundle(bundle, keys[number])
        except BundleRefused as error:
            fault = error
        else:
            return number
    raise fault
