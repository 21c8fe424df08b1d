"""Event ids that follow from other ids: an event that is written twice is in a log once. Pure."""

from __future__ import annotations

import hashlib


def derived_id(text: str) -> str:
    """Return an event id that follows from `text`: a UUIDv8 (RFC 9562, section 5.8)."""
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    digest[6] = 0x80 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    shown = digest.hex()
    return f"{shown[:8]}-{shown[8:12]}-{shown[12:16]}-{shown[16:20]}-{shown[20:]}"
