"""What a supervised process does first: read its configuration, tie its life to its parent's.

1. Configuration comes as one JSON object on standard input, so that no secret is ever in an
   argument, the environment or a file.
2. The kernel kills the process when its parent dies, however the parent dies; a parent that died
   before this was asked for is noticed.
3. No core dump is written: it would hold keys or weights.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h."""

MAX_CONFIG_BYTES = 1024 * 1024
"""A configuration is a few paths and secrets."""


def begin() -> dict[str, Any]:
    """Tie this process to its parent and return its configuration.

    Raises:
        SystemExit: The parent is gone, or standard input holds no configuration.
    """
    die_with_parent()
    os.umask(0o077)
    line = sys.stdin.buffer.readline(MAX_CONFIG_BYTES)
    config: dict[str, Any] = json.loads(line)
    if os.getppid() != config.pop("parent"):
        sys.exit("the supervising process is gone")
    return config


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies, and forbid core dumps."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def announce(**facts: object) -> None:
    """Tell the supervisor that this process is ready."""
    sys.stdout.write(json.dumps({"ready": facts}) + "\n")
    sys.stdout.flush()
