"""Where the log goes: standard error, or a file that is opened anew when it was moved away.

Safety argument.
1. Writing never raises and never ends what it tells of: what cannot be written is counted and lost.
   A log is no evidence (`gateway.telemetry`).
2. Lines are written whole, one writer at a time, at the end of the file as it is then: they do not
   mix, and a file that was copied and cut short (`copytruncate`) goes on from its new end. Where a
   disk became full within one, the next begins on a line of its own.
3. A file is made for its owner and group alone. What is no file, such as a pipe that nobody reads,
   is refused rather than waited for.
4. Nobody waits for whoever reads standard error (`gateway.standard_error`).
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError
from gateway.standard_error import FINISH_SECONDS, StandardError

MODE: Final = 0o640
"""Of a file that is made here, whatever the process's mask: who collects logs shares its group."""
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class LogSink:
    """Takes lines. For any thread.

    Args:
        path: The file; `None` is standard error.

    Raises:
        ConfigurationError: It cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file: int | None = None
        self._torn = False
        self._lost = 0
        self._error = StandardError()
        with self.moving(path):
            pass

    @property
    def lost(self) -> int:
        """Lines that were not written, or not whole; of lines that are written at once all."""
        return self._lost + self._error.lost

    def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Wait until nothing waits to be written, for so many seconds at most."""
        self._error.finish(seconds)

    @contextmanager
    def moving(self, path: Path | None) -> Iterator[None]:
        """Open `path`, as it is named now, and write to it once the block has ended well.

        Raises:
            ConfigurationError: It cannot be written; all stays as it was.
        """
        fresh = None if path is None else _opened(path)
        try:
            yield
        except BaseException:
            if fresh is not None:
                os.close(fresh)
            raise
        with self._lock:
            before, self._file = self._file, fresh
            self._torn = self._torn and _same(before, fresh)
        if before is not None:
            os.close(before)

    def write(self, text: str) -> None:
        """Write whole lines."""
        with self._lock:
            try:
                if self._file is None:
                    self._error.write(text)
                else:
                    self._append(self._file, text.encode())
            except OSError:
                self._lost += text.count("\n")

    def _append(self, file: int, data: bytes) -> None:
        """Write all of it, or remember that its last line has no end."""
        if self._torn:
            data = b"\n" + data
        while data:
            written = os.write(file, data)
            self._torn = data[written - 1 : written] != b"\n"
            data = data[written:]

    def flush(self) -> None:
        """Do nothing: what was written is with the kernel."""


def _same(before: int | None, fresh: int | None) -> bool:
    return before is not None and fresh is not None and os.path.sameopenfile(before, fresh)


def _opened(path: Path) -> int:
    try:
        file = _there_or_made(path)
    except OSError as fault:
        raise ConfigurationError(
            f"`log_file` cannot be opened: {os.strerror(fault.errno or 0).lower()}",
            "name a file in a folder that the gateway's user may write",
        ) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ConfigurationError(
            "`log_file` is no file", "leave it out to write to standard error, where pipes are read"
        )
    return file


def _there_or_made(path: Path) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        file = os.open(path, _FLAGS | os.O_CREAT, MODE)
        os.fchmod(file, MODE)
        return file
