"""Where a connection comes from, as far as bounds are kept by it. Pure."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

_PREFIX_BITS: Final = 64
"""Of an IPv6 address: what one subscriber has."""


def group_of(peer: Any) -> str:
    """Return what connections of one origin have in common: its address, of IPv6 the network."""
    host = str(peer[0]).partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or int(address) >> 128 - _PREFIX_BITS)
    return host
