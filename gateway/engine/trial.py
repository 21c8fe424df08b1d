"""What a model's engines can do: whether its rows may share a run, how many, and on which kind.

Measured before a version can be called, on inputs that run. Rows are independent when each gives
the same answer apart, together with others, and in another order: apart and together within
`TOLERANCE` (libraries sum in another order for other sizes), in another order to the bit. A model
could still tell one row of another in answer to a crafted one: that is why only requests of one
version, and so of one tenant, ever share a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.engine.errors import EngineError
from gateway.engine.ports import PLAIN
from gateway.engine.process import EngineProcess

Array: TypeAlias = NDArray[Any]
Feeds: TypeAlias = dict[str, Array]
Start: TypeAlias = Callable[[str], EngineProcess]

ROWS_COMPARED: Final = 8
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128)
TOLERANCE: Final = 1e-4
AGREEMENT: Final = 1e-3
"""Between kinds: other kernels, and sums in another order."""
RUN_SECONDS: Final = 10.0
TRIAL_SECONDS: Final = 6.0
# A shared run may hold its callers no longer than this.
LONGEST_SHARED_SECONDS: Final = 0.02
# Sharing must pay at least so much a row, and another kind so much a run.
WORTH: Final = 0.8
_REPEATS: Final = 200
_REPEAT_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found.

    Attributes:
        kind: The kind of engine that was the fastest of those that agree.
        rows: Rows that one shared run may have; 1: rows never share.
        curve: Microseconds a row by rows of a run, on that kind; empty where rows are not shared.
        run_us: Microseconds of a run on the sample, by kind.
        differs: Largest difference from the plain kind's outputs, by kind.
        refused: Why another kind is out of the question, by kind: an error's code or `differs`.
    """

    kind: str
    rows: int
    curve: dict[int, float]
    run_us: dict[str, float]
    differs: dict[str, float]
    refused: dict[str, str]


def try_out(
    start: Start,
    kinds: Sequence[str],
    sample: Mapping[str, Array],
    *,
    by_row: bool,
    monotonic: Callable[[], float],
) -> Trial:
    """Measure a model; blocks for some seconds.

    Args:
        start: Starts an engine of a kind, which is closed here.
        kinds: Kinds to be tried beside the plain one.
        sample: Inputs that run.
        by_row: Whether every input and output has an open first dimension of one name.
        monotonic: Seconds.

    Raises:
        EngineError: The plain engine cannot run the sample.
    """
    plain = start(PLAIN)
    try:
        expected = plain.run(sample, RUN_SECONDS)
        seconds = {PLAIN: _seconds(plain, sample, monotonic)}
        together = by_row and independent(plain, sample)
        curve = _curve(plain, sample, monotonic) if together else {}
    finally:
        plain.close()
    differs: dict[str, float] = {}
    refused: dict[str, str] = {}
    for kind in kinds:
        try:
            other = start(kind)
        except EngineError as fault:
            refused[kind] = fault.code
            continue
        try:
            differs[kind] = difference(expected, other.run(sample, RUN_SECONDS))
            if differs[kind] > AGREEMENT:
                refused[kind] = "differs"
                continue
            taken = _seconds(other, sample, monotonic)
            if taken < WORTH * min(seconds.values()):
                curve = _curve(other, sample, monotonic) if together else {}
            seconds[kind] = taken
        except EngineError as fault:
            refused[kind] = fault.code
        finally:
            other.close()
    best = min(seconds, key=lambda kind: seconds[kind] * (1.0 if kind == PLAIN else 1 / WORTH))
    return Trial(
        kind=best,
        rows=rows_of(curve),
        curve={rows: round(taken * 1e6, 2) for rows, taken in curve.items()},
        run_us={kind: round(taken * 1e6, 2) for kind, taken in seconds.items()},
        differs=differs,
        refused=refused,
    )


def rows_of(curve: Mapping[int, float]) -> int:
    """Choose how many rows a shared run may have. Pure.

    Args:
        curve: Seconds a row by rows of a run.

    Returns:
        The size with the least cost a row, as long as it pays and is quick; else 1.
    """
    quick = {n: taken for n, taken in curve.items() if n * taken <= LONGEST_SHARED_SECONDS}
    if not quick:
        return 1
    best = min(quick, key=lambda rows: quick[rows])
    return best if quick[best] <= WORTH * curve[min(curve)] else 1


def independent(process: EngineProcess, sample: Mapping[str, Array]) -> bool:
    """Tell whether rows give the same answers apart, together and in another order."""
    feeds = _rows(sample, ROWS_COMPARED)
    if feeds is None:
        return False
    try:
        together = process.run(feeds, RUN_SECONDS)
        if any(not output.ndim or len(output) != ROWS_COMPARED for output in together):
            return False
        order = [3, 0, 7, 5, 1, 6, 2, 4]
        moved = process.run({name: array[order] for name, array in feeds.items()}, RUN_SECONDS)
        for one, other in zip(together, moved, strict=True):
            if one[order].tobytes() != other.tobytes():
                return False
        for row in range(ROWS_COMPARED):
            apart = process.run(
                {name: array[row : row + 1] for name, array in feeds.items()}, RUN_SECONDS
            )
            beside = [output[row : row + 1] for output in together]
            if difference(beside, apart) > TOLERANCE:
                return False
    except EngineError:
        return False
    return True


def difference(one: Sequence[Array], other: Sequence[Array]) -> float:
    """Return how far answers are apart, beside their size; infinite where they are unlike. Pure.

    Floating numbers are compared beside the largest number of their output; everything else, and
    what is not finite, must be equal.
    """
    if len(one) != len(other):
        return float("inf")
    worst = 0.0
    for mine, theirs in zip(one, other, strict=True):
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            return float("inf")
        if mine.dtype.kind != "f":
            if not np.array_equal(mine, theirs):
                return float("inf")
            continue
        finite = np.isfinite(mine)
        if not np.array_equal(mine[~finite], theirs[~finite], equal_nan=True):
            return float("inf")
        apart = np.abs(mine[finite].astype(np.float64) - theirs[finite].astype(np.float64))
        size = max(1.0, float(np.abs(mine[finite].astype(np.float64)).max(initial=0.0)))
        worst = max(worst, float(apart.max(initial=0.0)) / size)
    return worst


def _rows(sample: Mapping[str, Array], count: int) -> Feeds | None:
    """Make `count` rows of the sample's; `None` where they would all be the same.

    Rows of floating numbers that are repeated are made a little different each.
    """
    feeds: Feeds = {}
    distinct = False
    for name, array in sample.items():
        if not array.ndim or not len(array):
            return None
        rows = np.take(array, np.arange(count) % len(array), axis=0)
        if array.dtype.kind == "f":
            factors = 1.0 - 0.01 * (np.arange(count) // len(array))
            rows = (rows * factors.reshape(-1, *([1] * (array.ndim - 1)))).astype(array.dtype)
        distinct |= any(not np.array_equal(rows[0], row) for row in rows[1:])
        feeds[name] = rows
    return feeds if distinct else None


def _curve(
    process: EngineProcess, sample: Mapping[str, Array], monotonic: Callable[[], float]
) -> dict[int, float]:
    """Return seconds a row by rows of a run, for as long as runs are quick."""
    curve: dict[int, float] = {}
    until = monotonic() + TRIAL_SECONDS
    for size in SIZES:
        feeds = _rows(sample, max(size, 2))
        if feeds is None:
            break
        feeds = {name: array[:size] for name, array in feeds.items()}
        try:
            taken = _seconds(process, feeds, monotonic)
        except EngineError:
            break
        curve[size] = taken / size
        if taken > LONGEST_SHARED_SECONDS or monotonic() > until:
            break
    return curve


def _seconds(
    process: EngineProcess, feeds: Mapping[str, Array], monotonic: Callable[[], float]
) -> float:
    """Return the shortest time of a run: what took longer did something else as well."""
    taken: list[float] = []
    process.run(feeds, RUN_SECONDS)
    while len(taken) < _REPEATS and sum(taken) < _REPEAT_SECONDS:
        began = monotonic()
        process.run(feeds, RUN_SECONDS)
        taken.append(monotonic() - began)
    return min(taken)
