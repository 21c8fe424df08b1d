"""Ports of loopback that nobody takes between being asked for and being bound.

What the system hands out can be handed to another worker, or to an outgoing connection, before a
gateway has bound it, or while one is stopped that will start again. These lie below that range,
and each worker of a parallel run has its own share of them.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import Final

_FIRST: Final = 10_240
_END: Final = 32_768
"""Where Linux begins to hand out ports (`ip_local_port_range`)."""
_SHARES: Final = 16
_SHARE: Final = (_END - _FIRST) // _SHARES


def _mine() -> itertools.cycle[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
    ports = range(_FIRST + worker * _SHARE, _FIRST + (worker + 1) * _SHARE)
    # Another run on this machine has the same shares; it will hardly begin at the same place.
    start = random.SystemRandom().randrange(_SHARE)
    return itertools.cycle([*ports[start:], *ports[:start]])


_ports = _mine()


def free_port() -> int:
    """Return a port that is free and that no other caller gets."""
    for port in itertools.islice(_ports, _SHARE):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free on this machine")
