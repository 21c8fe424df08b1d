"""A page is not everything: the one way to walk all pages of a list, and to cut one out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")
C = TypeVar("C")

PAGE: Final = 100
"""Records read at once: some kilobytes each."""


def every(
    page: Callable[[C, int], Sequence[T]], cursor: Callable[[T], C], start: C, size: int = PAGE
) -> Iterator[T]:
    """Yield every record of a list, page by page.

    Records that are removed while the walk goes on do not disturb it, as it goes by cursor.

    Args:
        page: Returns up to `size` records after a cursor, in order: `(after, limit)`.
        cursor: Returns the cursor of a record.
        start: The cursor before the first record.
        size: Records of one page.
    """
    after = start
    while found := page(after, size):
        yield from found
        after = cursor(found[-1])


def visible(
    page: Callable[[C, int], Sequence[T]],
    cursor: Callable[[T], C],
    start: C,
    limit: int,
    may_see: Callable[[T], bool],
) -> tuple[list[T], C | None]:
    """Return a page of what a reader may see, and the cursor after it, or None at the end.

    What the reader may not see leaves no trace: it takes no place in a page and is no cursor.

    Args:
        page: As of `every`.
        cursor: As of `every`.
        start: As of `every`.
        limit: Most records to return.
        may_see: Whether a record is for the reader.
    """
    found = list(islice(filter(may_see, every(page, cursor, start)), limit))
    return found, cursor(found[-1]) if len(found) == limit else None
