"""Standard error for lines of a log: what does not take them at once keeps nobody waiting.

Safety argument.
1. Whoever writes a line does not wait for its reader, who may have stopped with a full pipe: an
   event loop that waited would hear nothing, not even that the process is to end.
2. Lines stay whole and in order. What was not taken at once waits for a thread, and all that comes
   behind it too, up to `MAX_WAITING_BYTES`; what comes then is lost and counted.
3. Others who share the open file do not find it changed.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO, cast

MAX_WAITING_BYTES: Final = 1 << 20
"""Some thousand lines: what a reader who was stopped for a moment catches up with."""
FINISH_SECONDS: Final = 1.0
"""At the end of a process, for a reader who is slow."""
_OWN: Final = 2
_AGAIN: Final = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class StandardError:
    """Takes lines and never waits. For any thread.

    Args:
        file: Its descriptor; by default that of the process, or what stands in for it in Python.

    Attributes:
        lost: Lines that were not written, or not whole.
    """

    def __init__(self, file: int | None = None) -> None:
        self._given = file is not None
        self._file = _OWN if file is None else file
        self._at_once = _writes_at_once(self._file)
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()  # the first stays until it is written
        self._size = 0
        self._thread: threading.Thread | None = None
        self.lost = 0

    def write(self, text: str) -> None:
        """Write whole lines, now or later, or count them as lost."""
        stream = cast("TextIO | None", sys.stderr)
        with self._changed:
            try:
                if self._given or (stream is not None and stream is sys.__stderr__):
                    self._take(text.encode())
                elif stream is not None:
                    stream.write(text)
                    stream.flush()
                else:  # the process was started without one: the descriptor is some other file's
                    self.lost += text.count("\n")
            except (OSError, ValueError):  # `ValueError`: it is closed
                self.lost += text.count("\n")

    def finish(self, seconds: float) -> None:
        """Wait until nothing waits to be written, for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def _take(self, data: bytes) -> None:
        if not self._waiting:
            data = data[self._at_once(data) :]
        if not data:
            return
        if self._size + len(data) > MAX_WAITING_BYTES:
            self.lost += data.count(b"\n")
            return
        self._waiting.append(data)
        self._size += len(data)
        self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="slow-log", daemon=True)
            self._thread.start()

    def _go_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = self._waiting[0]
            written = _written(self._file, data)
            with self._changed:
                self.lost += 0 if written else data.count(b"\n")
                self._size -= len(self._waiting.popleft())
                self._changed.notify_all()


def _written(file: int, data: bytes) -> bool:
    """Write all of it, however long its reader takes; tell whether that was done."""
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    try:
        while data:
            ready.poll()
            try:
                data = data[os.write(file, data) :]
            except BlockingIOError:  # somebody who shares it was faster
                continue
    except OSError:
        return False
    return True


def _writes_at_once(file: int) -> Callable[[bytes], int]:
    """Return what writes as much as can be without waiting, and tells how much that was.

    What shares the descriptor must not find it changed (`O_NONBLOCK` is of the open file, not of
    the descriptor), so a pipe or a terminal is opened once more, and a socket is told each time.
    Where neither can be, nothing is written at once. To be called before the process closes itself
    to others (`gateway.process.ownership.keep_memory_private`), which closes `/proc/self/fd` to it.
    """
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISSOCK(mode):
            return _sends_at_once(file)
        if stat.S_ISFIFO(mode) or os.isatty(file):
            file = os.open(f"/proc/self/fd/{file}", _AGAIN)
    except OSError:  # such as a pipe of another user: it may be written but not opened
        return lambda _: 0

    def write(data: bytes) -> int:
        try:
            return os.write(file, data)
        except BlockingIOError:
            return 0

    return write


def _sends_at_once(file: int) -> Callable[[bytes], int]:
    def send(data: bytes) -> int:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=file)
        try:
            return line.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        finally:
            line.detach()  # it is not ours to close

    return send
