"""Who gives way to a newcomer where there is no more room. Pure; each answer costs the same.

1. Nothing here looks through what is held: a stranger who connects again and again at a full door
   costs no more for it than at an empty one.
2. `Silent` relies on whoever uses it: a key is noted at the moment from which its silence counts,
   so the keys stand in the order of their silence.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Silent(Generic[K]):
    """Keys in the order in which they fell silent."""

    def __init__(self) -> None:
        # Not a `dict`: looking for its first key passes over all that were taken out before it.
        self._keys: OrderedDict[K, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, key: K) -> None:
        """Let the silence of a key begin now."""
        self._keys[key] = None
        self._keys.move_to_end(key)

    def drop(self, key: K) -> None:
        """Forget a key, if it is known."""
        self._keys.pop(key, None)

    def longest(self, besides: K | None = None) -> K | None:
        """Return the key that has been silent for longest; `None` where there is none."""
        return next((key for key in self._keys if key != besides), None)


class Crowds(Generic[K]):
    """Keys of groups, such as connections of addresses."""

    def __init__(self) -> None:
        self._group_of: dict[K, str] = {}
        self._groups: defaultdict[str, OrderedDict[K, None]] = defaultdict(OrderedDict)
        self._of_size: defaultdict[int, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._largest = 0

    def __len__(self) -> int:
        return len(self._group_of)

    def keys(self) -> list[K]:
        """Return all keys, the oldest first."""
        return list(self._group_of)

    def add(self, key: K, group: str) -> None:
        """Take a key that is not known."""
        self._group_of[key] = group
        self._groups[group][key] = None
        size = len(self._groups[group])
        self._move(group, size - 1, size)
        self._largest = max(self._largest, size)

    def drop(self, key: K) -> None:
        """Forget a key, if it is known."""
        group = self._group_of.pop(key, None)
        if group is None:
            return
        members = self._groups[group]
        size = len(members)
        del members[key]
        if not members:
            del self._groups[group]
        self._move(group, size, size - 1)
        if self._largest not in self._of_size:
            self._largest -= 1  # the group that shrank is of that size now

    def oldest_of_largest(self) -> K:
        """Return the key that was added first of the group that has most."""
        group = next(iter(self._of_size[self._largest]))
        return next(iter(self._groups[group]))

    def _move(self, group: str, before: int, size: int) -> None:
        if before:
            del self._of_size[before][group]
            if not self._of_size[before]:
                del self._of_size[before]
        if size:
            self._of_size[size][group] = None
