"""Looks for values of a model in files: in all that were written since it began, again and again.

A value is found as float32 and as float64, in pieces of 32 bytes, and as what a careless log would
make of it: base64, hex, decimal text.
"""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

PIECE: Final = 32
"""Bytes: four doubles or eight floats, which nothing else holds by chance."""
TOO_LARGE: Final = 256 << 20
"""No file of a test is; the disk of a developer may hold others."""


def needles(values: Any) -> list[bytes]:
    """What a file would hold that holds `values`, or a good part of them."""
    found = []
    for kind in ("<f8", "<f4"):
        raw = np.asarray(values, np.float64).astype(kind).tobytes()
        pieces = [raw[at : at + PIECE] for at in range(0, len(raw) - PIECE + 1, PIECE)]
        assert pieces
        found += [raw, *pieces, *(piece.hex().encode() for piece in pieces)]
        # The same bytes look three ways in base64, by where they stand; the ends depend on others.
        found += [
            base64.b64encode(bytes(shift) + piece)[4:-4] for piece in pieces for shift in range(3)
        ]
    numbers = [repr(float(value)).encode() for value in values]
    return [*found, *(number for number in numbers if len(number) > 12)]


class Scanner:
    """Searches files in a thread of its own while it is entered.

    Args:
        wanted: From `needles`.
        places: Folders; also files that were deleted while a process holds them open are searched.
        family: The processes whose open files are looked at.
        skipped: Folders that are left out.
        since: Unix seconds; files that did not change since then are not read.
    """

    def __init__(
        self,
        wanted: list[bytes],
        places: list[Path],
        *,
        since: float,
        family: Callable[[], set[int]] = set,
        skipped: frozenset[Path] = frozenset(),
    ) -> None:
        self._wanted = wanted
        self._places = places
        self._since = since
        self._family = family
        self._skipped = {str(path) for path in skipped}
        self._known: dict[str, tuple[int, ...]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._fault: BaseException | None = None
        self.found: set[str] = set()
        self.passes = 0
        self.read = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def look(self) -> set[str]:
        """Search once and return the names of files that hold what is wanted."""
        for path in (*self._files(), *self._held_open()):
            with contextlib.suppress(OSError):
                if self._holds(path):
                    self.found.add(path)
        self.passes += 1
        return self.found

    def _watch(self) -> None:
        try:
            while not self._stop.is_set():
                self.look()
        except BaseException as fault:
            self._fault = fault

    def _files(self) -> Iterator[str]:
        for place in self._places:
            for folder, inner, names in os.walk(place):
                inner[:] = [n for n in inner if os.path.join(folder, n) not in self._skipped]
                yield from (os.path.join(folder, name) for name in names)

    def _held_open(self) -> Iterator[str]:
        """Files without a name: deleted, and still open. What lives in memory only is not meant."""
        for pid in self._family():
            with contextlib.suppress(OSError):
                for link in os.scandir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        target = os.readlink(link.path)
                        if target.endswith(" (deleted)") and not target.startswith("/memfd:"):
                            yield link.path

    def _holds(self, path: str) -> bool:
        seen = os.stat(path, follow_symlinks=path.startswith("/proc/"))
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > TOO_LARGE:
            return False
        mark = (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        if self._known.get(path) == mark or max(seen.st_mtime, seen.st_ctime) < self._since:
            return False
        content = Path(path).read_bytes()
        self._known[path] = mark
        self.read += 1
        return any(piece in content for piece in self._wanted)


def now() -> float:
    """Unix seconds a little ago: file systems have coarse clocks."""
    return time.time() - 1.0
