"""What a supervised process does first: read its configuration, and tie its life to its parent's.

1. No core dump is written: it would hold keys or weights.
2. Configuration comes as one JSON object on standard input, so that no secret is ever in an
   argument, the environment or a file.
3. The process ends when its parent ends (`gateway.parent_death`). A parent that dies before it has
   sent the configuration closes standard input, and the process ends for lack of one.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any, Final

from gateway.parent_death import die_with_parent

PARENT_VARIABLE: Final = "SEALGATE_PARENT"
"""Tells a fork server, and the tasks that it forks, the process id of their parent."""

MAX_CONFIG_BYTES = 1024 * 1024
"""A configuration is a few paths and secrets."""


def begin() -> dict[str, Any]:
    """Tie this process to its parent and return its configuration.

    Raises:
        SystemExit: The parent is gone, or standard input holds no configuration.
    """
    forbid_core_dumps()
    os.umask(0o077)
    line = sys.stdin.buffer.readline(MAX_CONFIG_BYTES)
    try:
        config: dict[str, Any] = json.loads(line)
    except ValueError:
        sys.exit("standard input holds no configuration")
    die_with_parent(config.pop("parent"))
    return config


def forbid_core_dumps() -> None:
    """Let the kernel write no core file of this process, nor of those that it starts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def announce(**facts: object) -> None:
    """Tell the supervisor that this process is ready."""
    sys.stdout.write(json.dumps({"ready": facts}) + "\n")
    sys.stdout.flush()
