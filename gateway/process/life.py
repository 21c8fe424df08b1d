"""Whether the process takes work, as its probes and its service manager hear it.

It is ready when it says so and not before, and no longer from the moment on at which it is asked to
stop: what sends it work has heard that before the doors close.

Source of the messages: sd_notify(3), systemd.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress


class Life:
    """The states of one process.

    Args:
        tell: Sends a message to the service manager.

    Attributes:
        stopping: It was asked to stop.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell or tell_service_manager
        self.stopping = False

    def opened(self) -> None:
        """Note that the doors are open."""
        if not self.stopping:
            self._tell("READY=1")

    def reloading(self) -> None:
        """Note that settings are being read again; `opened` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stop(self) -> None:
        """Note that it was asked to stop."""
        self.stopping = True
        self._tell("STOPPING=1")


def tell_service_manager(message: str) -> None:
    """Send a message to where `NOTIFY_SOCKET` says; nobody waits for it, or misses it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(message.encode(), address)
