"""What the process remembers: frozen values, no behaviour, no I/O.

Times are Unix seconds (UTC, integers). Names match `gateway.names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pending:
    """Work that spans stores and is not known to be finished: found again at the next start.

    Attributes:
        id: The event id of its audited intent.
        facts: What reconciliation needs: names and references, never personal data.
    """

    id: str
    tenant: str
    kind: str
    facts: Mapping[str, str]
    at: int
