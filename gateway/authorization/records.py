"""What the store keeps of a change under way: a frozen value, no behaviour, no I/O.

Times are Unix seconds (UTC, integers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pending:
    """The row of a change that is not known to be finished: it is found again at the next start.

    Attributes:
        id: The event id of its audited intent.
        facts: What the finisher of its kind needs: names and references, never personal data.
    """

    id: str
    tenant: str
    kind: str
    facts: Mapping[str, str]
    at: int
