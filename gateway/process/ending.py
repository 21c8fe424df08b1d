"""The end of a process that was asked to stop: in the stated time, whatever it waits for.

1. A thread of its own ends the process when its time is over: also where the event loop, another
   thread or a line of the log hangs.
2. That is as safe as a loss of power, which every store and the log survive: what was answered is
   recorded by then, and what was not is settled at the next start.
3. The time runs from the moment at which the process gets the signal, not from that at which its
   event loop hears of it (`gateway.process.hearing`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

TOLD_SECONDS: Final = 1.0
"""For the last line of the log, where whoever reads it is slow."""
EXIT_CODE: Final = 70
"""EX_SOFTWARE of sysexits.h: a part did not end."""


def end_within(
    seconds: float,
    end: Callable[[int], object] = os._exit,
    wait: Callable[[float], object] = time.sleep,
) -> threading.Thread:
    """End the process after that many seconds, unless it has ended by then.

    Args:
        seconds: From now.
        end: Ends the process with an exit code, without waiting for anything.
        wait: Waits for seconds.

    Returns:
        The thread that waits; it holds up nothing.
    """

    def watch() -> None:
        wait(seconds)
        telling = threading.Thread(target=_tell, args=(seconds,), daemon=True)
        telling.start()
        telling.join(TOLD_SECONDS)
        end(EXIT_CODE)

    thread = threading.Thread(target=watch, name="last-word", daemon=True)
    thread.start()
    return thread


def _tell(seconds: float) -> None:
    structlog.get_logger().error("ended_with_work_left", after_seconds=seconds)
