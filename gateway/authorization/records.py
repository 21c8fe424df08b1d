"""What the store keeps of changes under way and of those that wait: frozen values, no I/O.

Times are Unix seconds (UTC, integers).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


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


@dataclass(frozen=True, slots=True)
class Approval:
    """A request that waits for a second person.

    Attributes:
        tenant: Of who asked, and of whoever may agree.
        operation: What is to be done, by the name of a registered operation.
        body: The request, bound to the state that it was made in: canonical JSON.
        asked_by: The client that asked.
        expires: It is nothing from then on.
    """

    id: str
    tenant: str
    operation: str
    body: str
    asked_by: str
    at: int
    expires: int

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, hex: what the second person names."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(b"sealgate approval v1\n" + text.encode()).hexdigest()
