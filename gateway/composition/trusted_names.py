"""What the settings grant to names that nobody holds: said in the log when the gateway starts.

A trusted issuer may be named before the tenant or client that it is for is made, so nothing is
refused. A typing error would otherwise be found by a caller, or by whoever is given the name.
"""

from __future__ import annotations

import structlog

from gateway.composition.foundation import Foundation


def warn_of_nobody(base: Foundation) -> None:
    """Warn of tenants and clients of trusted issuers that do not exist."""
    tenants, clients = base.stores.tenants, base.stores.clients
    for issuer in base.settings.issuers:
        absent = sorted(name for name in issuer.tenants if tenants.get(name) is None)
        unknown = sorted(name for name in issuer.clients.values() if clients.get(name) is None)
        if absent or unknown:
            structlog.get_logger().warning(
                "issuer_for_nobody", issuer=issuer.issuer, tenants=absent, clients=unknown
            )
