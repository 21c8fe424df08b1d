"""Child processes: each does one thing in a copy of a prepared folder, and reports or is killed.

They are forked, so that what was imported once is there. Whoever forks has no threads of its own
and holds no store open.
"""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3.dump  # noqa: F401 - what each child would import anew
import traceback
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import httpcore  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

T = TypeVar("T")


class Killed(NamedTuple):
    """The child ended by SIGKILL."""


class Reported(NamedTuple, Generic[T]):
    """The child ended by itself."""

    value: T


class ChildFailed(Exception):
    """The child ended in another way; the text is its traceback."""


def in_child(act: Callable[[], T]) -> Killed | Reported[T]:
    """Call `act` in a child and return what it returned, or that it was killed.

    Raises:
        ChildFailed: It raised.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _report(act, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not told:
        return Killed()
    good: bool
    value: Any
    good, value = pickle.loads(told) if told else (False, f"status {status}")  # noqa: S301 - ours
    if not good:
        raise ChildFailed(value)
    return Reported(value)


def reported(act: Callable[[], T]) -> T:
    """Call `act` in a child that must not be killed."""
    ended = in_child(act)
    if isinstance(ended, Killed):
        raise ChildFailed("killed")
    return ended.value


def _report(act: Callable[[], object], writing: int) -> None:
    """Never returns."""
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(silence, standard)
        try:
            told = pickle.dumps((True, act()))
        except BaseException:
            told = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(told)
    finally:
        os._exit(0)
