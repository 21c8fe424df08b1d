"""Opening a listening socket, and saying why one cannot be had.

Nothing is told to callers here: who reads it starts the process, and sees these things anyway.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

BACKLOG: Final = 1024
"""Connections that wait to be taken, half of what uvicorn lets wait."""
_LISTENS: Final = "0A"
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def bind(host: str, port: int, setting: str = "port") -> socket.socket:
    """Open a listening socket.

    Args:
        host: An address of this machine.
        port: 0 for any that is free.
        setting: The key of `sealgate.toml` that holds the port; its host's is named alike.

    Raises:
        ConfigurationError: It cannot be had; it names the setting and, where that is known, who
            has the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = None
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # two may bind one address, and the later one listens in vain
    except OSError as fault:
        if listener is not None:
            listener.close()
        raise _refused(fault, host, port, setting) from None
    listener.set_inheritable(False)
    return listener


def _refused(fault: OSError, host: str, port: int, setting: str) -> ConfigurationError:
    if fault.errno == errno.EADDRINUSE:
        by = holder(port)
        return ConfigurationError(
            f"`{setting}`: port {port} is taken{f' by {by}' if by else ''}",
            f"set another `{setting}`, or end what has it "
            f"(to see it, as root: ss -ltnp 'sport = :{port}')",
        )
    if fault.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(
            f"`{setting}`: port {port} is not allowed to this user",
            f"set a `{setting}` of 1024 or more, or give the process CAP_NET_BIND_SERVICE",
        )
    of_host = setting.removesuffix("port") + "host"
    return ConfigurationError(
        f"`{of_host}`: `{host}` is no address of this machine",
        f"set `{of_host}` to an address that `ip addr` shows, or to 127.0.0.1 or ::1",
    )


def holder(port: int) -> str:
    """Return who listens at a port, as far as this user may see it; empty where it may not."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    if not inodes:
        return ""
    for folder in Path("/proc").glob("[0-9]*"):
        if _has_one(folder / "fd", inodes):
            with suppress(OSError):  # it has just ended
                return _named(folder)
    return ""


def _has_one(descriptors: Path, wanted: set[str]) -> bool:
    with suppress(OSError):  # it is another user's
        for name in os.listdir(descriptors):
            with suppress(OSError):  # it was closed meanwhile
                if os.readlink(descriptors / name) in wanted:
                    return True
    return False


def _named(folder: Path) -> str:
    if int(folder.name) == os.getpid():
        return "another door of this gateway"
    name = (folder / "comm").read_text().strip()
    return f"`{name}` (process {folder.name})"


def _listening(port: int) -> list[str]:
    """Return the inodes of sockets that listen at a port (proc(5), /proc/net/tcp)."""
    found = []
    for table in _TABLES:
        with suppress(OSError, IndexError, ValueError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                local = int(fields[1].rpartition(":")[2], 16)
                if local == port and fields[3] == _LISTENS:
                    found.append(fields[9])
    return found
