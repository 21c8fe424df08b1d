"""When the recorded solo mode of a deployment began."""

from __future__ import annotations

from audit.event import PLATFORM_TENANT
from gateway.composition.bootstrap import FOUNDED, SOLO
from gateway.composition.foundation import Foundation


def solo_since(base: Foundation) -> int | None:
    """Return when the recorded solo mode began (Unix seconds), or `None` if it never did."""
    entries = base.reader.events(PLATFORM_TENANT, limit=1)
    first = entries[0].event if entries else None
    if first is None or (first.action, first.reason) != (FOUNDED, SOLO):
        return None
    return first.ts // 1_000_000_000
