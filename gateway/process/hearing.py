"""Signals that ask a process to stop, heard also where its event loop hears nothing.

Safety argument.
1. The interpreter writes the number of each signal into a descriptor at once, in whichever thread
   (`signal.set_wakeup_fd`). An event loop reads it when it gets round to it, and one that waits for
   a disk never does. Here a thread reads it first, and hands it on to the loop.
2. A number is handed on after it was acted upon, and before the next is read: the loop hears all of
   them, in order.
3. Nothing is written to the loop's descriptor once `heard_by_a_thread` was left: the loop may have
   closed it by then, and another file may have its number.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


@contextmanager
def heard_by_a_thread(stopping: Callable[[bool], None]) -> Iterator[None]:
    """Call `stopping` from a thread when the process is asked to stop, and let the loop know too.

    To be entered in the main thread, by a loop that has its signal handlers.

    Args:
        stopping: Told whether it was asked before; waits for nothing.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    loops = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(
        target=_listen, args=(reading, loops, stopping), name="signals", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(loops, warn_on_full_buffer=False)
        os.close(writing)
        thread.join()
        os.close(reading)


def _listen(reading: int, loops: int, stopping: Callable[[bool], None]) -> None:
    again = False
    while number := os.read(reading, 1):
        if number[0] in STOPS:
            with suppress(Exception):  # such as no more threads: the loop hears of it all the same
                stopping(again)
            again = True
        with suppress(OSError):  # it is full: the loop has enough to read
            os.write(loops, number)
