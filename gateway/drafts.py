"""Folders in which something is made beside its place, and that outlive nobody.

Safety argument.
1. A draft is held (`flock`) by the process that fills it, and the kernel lets go of it however that
   process ends. Whoever makes the next draft of the same name removes those that nobody holds.
2. Between the name of a draft and its lock the folder around it is held, so nobody takes a draft
   that was made just now for one that was left.
3. Nobody waits for that folder longer than `HELD_SECONDS`: who holds it makes a draft, which takes
   milliseconds, or is somebody else's program.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

PARTIAL: Final = ".partial"
HELD_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.02


@contextmanager
def draft(beside: Path, stem: str, held_seconds: float = HELD_SECONDS) -> Iterator[Path]:
    """Make a folder, and remove it in the end; first those that dead processes left.

    Args:
        beside: What it is to become; it is made in the same folder.
        stem: What drafts of this kind are named by.
        held_seconds: How long another process may hold the folder around it.

    Raises:
        ConfigurationError: Another process holds that folder.
        OSError: The folder cannot be made.
    """
    around = beside.parent.resolve()
    made = beside.with_name(f".{stem}.{os.urandom(8).hex()}{PARTIAL}")
    with ExitStack() as held:
        with _around(around, held_seconds):
            _sweep(around, stem)
            made.mkdir(mode=0o700)
            held.callback(shutil.rmtree, made, ignore_errors=True)
            held.enter_context(_held(made))
        yield made


def _sweep(folder: Path, stem: str) -> None:
    """Remove the drafts that nobody holds; one that cannot be removed is in nobody's way."""
    ours = re.compile(rf"\.{re.escape(stem)}[.-][0-9a-f]{{8,16}}{re.escape(PARTIAL)}")
    with suppress(OSError):
        for left in filter(ours.fullmatch, os.listdir(folder)):
            with suppress(OSError), _held(folder / left):
                shutil.rmtree(folder / left)


@contextmanager
def _around(
    folder: Path, seconds: float, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Hold the folder in which a draft is made."""
    deadline = monotonic() + seconds
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(_held(folder))
                break
            except PermissionError:  # it may be written and not listed: nothing is to be seen there
                break
            except BlockingIOError:
                if monotonic() >= deadline:
                    raise ConfigurationError(
                        f"another process holds the folder {folder} locked",
                        f"end what `fuser -v {folder}` names, or name another folder",
                    ) from None
                time.sleep(_PAUSE_SECONDS)
        yield


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder; the kernel lets go of it when this process ends, however it ends.

    Raises:
        OSError: Another process holds it, or it is no folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
