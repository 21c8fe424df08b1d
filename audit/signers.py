"""The signers of the trees, each asked for once."""

from __future__ import annotations

from collections.abc import Callable

from audit.errors import EventInvalid
from audit.event import is_tenant
from audit.note import LogSigner


class Signers:
    """Remembers the signer of each tenant's tree. Safe for threads: asking twice does no harm.

    Args:
        ask: Returns the signer of a tenant's tree.
    """

    def __init__(self, ask: Callable[[str], LogSigner]) -> None:
        self._ask = ask
        self._known: dict[str, LogSigner] = {}

    def __call__(self, tenant: str) -> LogSigner:
        """Return the signer of a tenant's tree.

        Raises:
            EventInvalid: This is no name of a tenant.
        """
        signer = self._known.get(tenant)
        if signer is None:
            if not is_tenant(tenant):
                raise EventInvalid
            signer = self._known[tenant] = self._ask(tenant)
        return signer
