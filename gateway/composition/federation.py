"""The federation coordinator: a supervised child process, and the client that asks it."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import structlog

from gateway.composition.environment import Environment
from gateway.errors import ConfigurationError
from gateway.federation.coordinator import HttpCoordinator
from gateway.process.child_process import ChildProcess
from gateway.settings import Settings

SOCKET: Final = "run/coordinator.sock"
SECRET: Final = "run/coordinator.secret"  # noqa: S105 - a file name
STATE: Final = "federation"
LOG: Final = "federation/coordinator.log"
SECRET_BYTES: Final = 32
LONGEST_TEMPORARY: Final = 60
"""Bytes: below it Python makes sockets with names of some 45, and the kernel allows 107."""
# The coordinator imports Flower, and its processes are told the same by it.
_SILENT: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True, slots=True)
class CoordinatorProcess:
    """The supervised coordinator and the client that asks it."""

    process: ChildProcess
    client: HttpCoordinator

    def close(self) -> None:
        """End the coordinator."""
        self.process.close()
        self.client.close()


def make_coordinator(settings: Settings, environment: Environment) -> CoordinatorProcess | None:
    """Make the coordinator's process and client; `None` when federation is off.

    Raises:
        ConfigurationError: Federation is asked for and its extra is not installed.
    """
    installed = find_spec("federated") is not None and find_spec("flwr") is not None
    if settings.federation == "off" or (settings.federation == "auto" and not installed):
        return None
    if not installed:
        raise ConfigurationError(
            "`federation = on` needs the extra: pip install sealgate[federated]"
        )
    data, secret = settings.data_dir.absolute(), environment.random_bytes(SECRET_BYTES).hex()
    for folder in (data / SOCKET).parent, data / STATE:
        _make_anew(folder)
    _write_secret(data / SECRET, secret)
    command = [
        # -P: a folder `federated` where the gateway was started is not the package.
        *(sys.executable, "-P", "-m", "federated.coordinator"),
        *("--with-parent", str(os.getpid())),
        *("--socket", str(data / SOCKET)),
        *("--secret-file", str(data / SECRET)),
        *("--state", str(data / STATE)),
    ]
    variables = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(data / STATE),
        "TMPDIR": temporary_folder(),
        **_SILENT,
    }
    process = ChildProcess(
        "coordinator", command, variables, data / LOG, monotonic=environment.monotonic
    )
    return CoordinatorProcess(process, HttpCoordinator(data / SOCKET, secret))


def temporary_folder() -> str:
    """Return where this process has its temporary files, unless sockets below it had no name."""
    own = tempfile.gettempdir()
    return own if len(os.fsencode(own)) <= LONGEST_TEMPORARY else "/tmp"  # noqa: S108


def _make_anew(folder: Path) -> None:
    """Make a folder that a backup left out, as it holds nothing between two runs."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        structlog.get_logger().warning("folder_made_anew", folder=folder.name)


def _write_secret(path: Path, secret: str) -> None:
    """Write a fresh secret for this run; the folder is the gateway's own."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
