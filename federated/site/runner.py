"""`sealgate site run`: supervise a SuperNode and its SuperExec until told to stop.

The site opens no port to the outside: the SuperNode calls the gateway, and the two processes speak
over a loopback socket that is bound here, with a secret that lives in memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from federated.site.config import SiteConfig
from federated.supervisor import Child, ChildSpec, environment

STATUS_S = 1.0
"""How often the status file is written."""


class SiteRunner:
    """A site's two processes.

    Args:
        config: The checked configuration.
        random_bytes: Source of the secret between the two.
    """

    def __init__(self, config: SiteConfig, *, random_bytes: Callable[[int], bytes]) -> None:
        self._config = config
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix="sg-"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        secret = random_bytes(32).hex()
        runtime = f"127.0.0.1:{self._listener.getsockname()[1]}"
        env = environment(config.state, self._scratch)
        self._supernode = Child(
            ChildSpec(
                "supernode",
                "federated.site.supernode",
                {
                    "gateway": config.gateway,
                    "ca_file": str(config.ca_file),
                    "key_file": str(config.key_file),
                    "secret": secret,
                    "socket": self._listener.fileno(),
                    "node": {
                        "data": str(config.data),
                        "label": config.label,
                        "minimum-rows": config.minimum_rows,
                    },
                },
                env,
                config.state,
                (self._listener.fileno(),),
            )
        )
        self._superexec = Child(
            ChildSpec(
                "superexec",
                "federated.superexec",
                {"runtime": runtime, "secret": secret},
                env,
                config.state,
            )
        )

    async def run(self) -> None:
        """Work until SIGINT or SIGTERM, then stop both processes."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._supernode.start()
        await self._superexec.start()
        try:
            while not stop.is_set():
                write_status(self._config.state, self.status())
                try:
                    await asyncio.wait_for(stop.wait(), STATUS_S)
                except TimeoutError:
                    continue
        finally:
            await asyncio.gather(self._superexec.stop(), self._supernode.stop())
            write_status(self._config.state, self.status())
            self._listener.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """What `sealgate site status` shows."""
        return {
            "site": self._config.name,
            "gateway": self._config.gateway,
            "pid": os.getpid(),
            "supernode": self._supernode.state,
            "superexec": self._superexec.state,
            "restarts": self._supernode.restarts + self._superexec.restarts,
        }


def write_status(state: Path, status: dict[str, Any]) -> None:
    """Replace the status file in one step."""
    fresh = state / "status.json.new"
    fresh.write_text(json.dumps(status), encoding="utf-8")
    fresh.replace(state / "status.json")


def read_status(state: Path) -> dict[str, Any] | None:
    """Return the last written status with `running`, or None when there is none."""
    try:
        status: dict[str, Any] = json.loads((state / "status.json").read_text(encoding="utf-8"))
        os.kill(int(status["pid"]), 0)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, ProcessLookupError):
            return {**status, "running": False}
        return None
    return {**status, "running": True}
