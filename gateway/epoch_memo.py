"""Records remembered under one epoch, and nothing older: the one way to remember them. Pure.

1. Who reads records takes the memory first (`EpochMemo.now` asks for the epoch) and reads then.
   What was read goes into that memory, so what a later epoch took away is in no memory of that
   epoch or a later one. What was read while the epoch moved is lost with its memory.
2. That something is absent (`None`) is remembered too, in room of its own: asking for many things
   that do not exist pushes out other absent things, and nothing that exists.
3. Both rooms are bounded; the oldest entry leaves first.

Whoever adds a record whose absence may be remembered raises the epoch, as for a change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Final, Generic, Literal, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CAPACITY: Final = 10_000
"""Entries of each room: some megabytes of records."""


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""What a memory answers that does not know; `None` means that there is nothing."""


class Memory(Generic[K, V]):
    """What was read under one epoch.

    Attributes:
        epoch: The epoch that was in force before anything in here was read.
    """

    __slots__ = ("_absent", "_capacity", "_lock", "_present", "epoch")

    def __init__(self, epoch: Hashable, capacity: int) -> None:
        self.epoch = epoch
        self._capacity = capacity
        self._lock = threading.Lock()
        self._present: dict[K, V] = {}
        self._absent: dict[K, None] = {}

    def get(self, key: K) -> V | Literal[_Unknown.UNKNOWN] | None:
        """Return what is remembered: a value, `None` for an absent one, or `UNKNOWN`."""
        found = self._present.get(key, UNKNOWN)
        return None if found is UNKNOWN and key in self._absent else found

    def keep(self, key: K, value: V | None) -> None:
        """Remember a value that was read after this memory was taken."""
        with self._lock:
            if value is None:
                self._absent[key] = None
            else:
                self._present[key] = value
                self._absent.pop(key, None)
            for room in (self._present, self._absent):
                if len(room) > self._capacity:
                    del room[next(iter(room))]


class EpochMemo(Generic[K, V]):
    """Gives out the memory of the epoch in force. Safe for threads; never blocks.

    Args:
        epoch: Returns the epoch in force; must not block.
        capacity: Entries that are kept, and as many absent ones.
    """

    __slots__ = ("_capacity", "_epoch", "_memory")

    def __init__(self, epoch: Callable[[], Hashable], capacity: int = CAPACITY) -> None:
        self._epoch = epoch
        self._capacity = capacity
        self._memory: Memory[K, V] = Memory(object(), capacity)

    def now(self) -> Memory[K, V]:
        """Return the memory of the epoch in force; take it before reading what it will hold."""
        epoch, memory = self._epoch(), self._memory
        if memory.epoch != epoch:
            memory = self._memory = Memory(epoch, self._capacity)
        return memory

    def look_up(self, key: K, read: Callable[[], V | None]) -> V | None:
        """Return what is remembered, or what `read` returns, which is remembered then."""
        memory = self.now()
        found = memory.get(key)
        if found is UNKNOWN:
            found = read()
            memory.keep(key, found)
        return found
