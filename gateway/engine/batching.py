"""Which waiting requests go into the next run together. Pure.

A run may be shared only by requests of the same inputs, datatypes and sizes but for their rows, and
only where the model's rows do not depend on each other (shown before the version could be called).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray


class Asked(Protocol):
    """One waiting request.

    Attributes:
        inputs: Arrays by input name.
        rows: Their first dimension.
        alone: It shares no run.
    """

    inputs: Mapping[str, NDArray[Any]]
    rows: int
    alone: bool


A = TypeVar("A", bound=Asked)


def take(waiting: deque[A], rows: int) -> list[A]:
    """Remove the next run's requests from the front of `waiting`, which must hold one.

    Args:
        waiting: In the order of arrival.
        rows: Rows of one run that is shared; a request with more has a run of its own.
    """
    taken = [waiting.popleft()]
    left = rows - taken[0].rows
    if rows == 1 or taken[0].alone or not waiting or waiting[0].rows > left:
        return taken
    like = _likeness(taken[0])
    while waiting and not waiting[0].alone and waiting[0].rows <= left:
        if _likeness(waiting[0]) != like:
            break
        asked = waiting.popleft()
        left -= asked.rows
        taken.append(asked)
    return taken


def by_row(inputs: Mapping[str, NDArray[Any]], rows: int) -> bool:
    """Whether every input has `rows` rows: one with a default may have others."""
    return all(array.ndim and len(array) == rows for array in inputs.values())


def _likeness(asked: Asked) -> list[tuple[str, object, tuple[int, ...]]]:
    return [(name, array.dtype, array.shape[1:]) for name, array in asked.inputs.items()]


def share_out(outputs: list[NDArray[Any]], rows: list[int]) -> list[list[NDArray[Any]]] | None:
    """Give each request its rows of a shared run's outputs.

    Returns:
        Outputs by request, or `None` when an output has not a row for each row that went in.
    """
    total = sum(rows)
    if any(not output.ndim or len(output) != total for output in outputs):
        return None
    shares = []
    start = 0
    for count in rows:
        shares.append([output[start : start + count] for output in outputs])
        start += count
    return shares
