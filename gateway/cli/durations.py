"""Spans of time as people write them: `90s`, `15m`, `24h`, `7d`, or `0`."""

from __future__ import annotations

import re
from typing import Final

from gateway.cli.failures import CommandFailed, ExitCode

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN: Final = re.compile(r"(\d{1,9})([smhd])")


def seconds_of(option: str, text: str) -> int:
    """Return a span in seconds.

    Args:
        option: The option that it was given with.
        text: What was given.

    Raises:
        CommandFailed: It is no span of time.
    """
    if text == "0":
        return 0
    found = _SPAN.fullmatch(text)
    if found is None:
        what = f"{option} must be a span of time such as 90s, 15m, 24h or 7d, or 0"
        raise CommandFailed(what, ExitCode.USAGE, f"{option} 24h")
    return int(found[1]) * UNITS[found[2]]
