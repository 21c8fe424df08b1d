"""What publishing asks of storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from policies.bundle import SignedBundle
from policies.compiled import Prepared
from policies.errors import PolicySetInvalid
from policies.standing import Standing


class BundleStore(Protocol):
    """The signed bundles of every tenant: append-only but for signatures, by (tenant, epoch).

    Methods are synchronous and may block. Tenants compare byte for byte.
    """

    def put(self, bundle: SignedBundle) -> None:
        """Append a bundle. When this returns it survives the death of the process.

        Raises:
            EpochExists: The tenant has a bundle of this epoch; it is left as it was.
        """
        ...

    def resign(self, bundle: SignedBundle) -> None:
        """Replace the signature of a stored bundle. When this returns it is durable.

        Raises:
            EpochExists: What is stored under its epoch is another bundle, or nothing.
        """
        ...

    def latest(self, tenant: str) -> SignedBundle | None:
        """Return the tenant's bundle of the highest epoch, or None when there is none."""
        ...

    def list(self, tenant: str, *, after: int, limit: int) -> Sequence[SignedBundle]:
        """Return up to `limit` bundles with an epoch greater than `after`, ascending."""
        ...

    def tenants(self, *, after: str, limit: int) -> Sequence[str]:
        """Return up to `limit` tenants that have a bundle, greater than `after`, ascending."""
        ...


class Preparing(Protocol):
    """Checks texts of policy sets where they can do no harm.

    A text may want minutes and gigabytes, and holds the interpreter's lock meanwhile. Whoever
    implements this bounds both, and shares what there is fairly between tenants.
    """

    def prepare(
        self, tenant: str, text: str, standing: Standing | None = None, current: str | None = None
    ) -> Prepared:
        """Check a text that is to come into force. Blocks.

        Args:
            tenant: Whose text it is.
            text: Cedar policies.
            standing: Who must still be able to steer the tenant; None asks for nobody.
            current: The text in force, where there is one.

        Raises:
            PolicySetInvalid: The text is not acceptable; `problems` says why.
        """
        ...

    def stored(self, texts: Sequence[str]) -> Sequence[Prepared | PolicySetInvalid]:
        """Check texts that were in force already, by laxer bounds and without trying them. Blocks.

        Returns:
            For each text, in order, what was prepared or why it cannot be used.
        """
        ...
