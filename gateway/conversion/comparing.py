"""Are two answers the same? Pure.

Labels are the same or they are not. Numbers may be apart by the tolerance, absolute and relative to
the value: what was computed in float64 is computed in float32 afterwards. A row differs when any of
its values does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.conversion.request import Compared, Stuck


def compare(name: str, before: Any, after: Any, tolerance: float) -> Compared | None:
    """Compare an output with what the model itself says; None where the two have no common shape.

    Args:
        name: Of the output.
        before: What the model itself says, rows first.
        after: What the converted one says, rows first.
        tolerance: Absolute, and relative to the value.
    """
    old, new = (_by_row(np.asarray(values)) for values in (before, after))
    if old.shape[0] == new.shape[0] and (old.shape[1], new.shape[1]) == (1, 2):
        new = new[:, 1:]  # one score of two classes, that of the second
    if old.shape != new.shape:
        return None
    if (
        old.dtype.kind in "fiub"
        and new.dtype.kind in "fiub"
        and "f" in (old.dtype.kind, new.dtype.kind)
    ):
        return _numbers(name, old.astype(np.float64), new.astype(np.float64), tolerance)
    numeric = old.dtype.kind in "iub" and new.dtype.kind in "iub"
    same = (old == new) if numeric else (_texts(old) == _texts(new))
    wrong = ~same.all(axis=1)
    return Compared(output=name, rows=len(old), differing=int(wrong.sum()), largest=0.0)


def check(compared: tuple[Compared, ...], tolerance: float, allowed: float) -> None:
    """Refuse a conversion that changes answers.

    Raises:
        Stuck: `differs`: an output differs in more rows than is allowed, or nothing was compared.
    """
    for one in compared:
        if one.differing > allowed * one.rows:
            apart = f" by up to {one.largest:.3g}" if one.largest else ""
            raise Stuck(
                "differs",
                f"output `{one.output}` differs in {one.differing} of {one.rows} rows{apart}, "
                f"and {tolerance:g} is allowed",
                "look whether the library that was used supports this model; where the difference "
                "is harmless, say so by `--tolerance` or `--differing` (a share of the rows)",
            )


def _numbers(
    name: str, old: NDArray[np.float64], new: NDArray[np.float64], tolerance: float
) -> Compared:
    with np.errstate(invalid="ignore"):
        apart = np.abs(old - new)
        close = np.isclose(new, old, rtol=tolerance, atol=tolerance, equal_nan=True)
    apart[~np.isfinite(apart)] = 0.0
    wrong = ~close.all(axis=1)
    return Compared(
        output=name,
        rows=len(old),
        differing=int(wrong.sum()),
        largest=float(apart.max(initial=0.0)),
    )


def _by_row(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim == 0:
        return values.reshape(1, 1)
    return values.reshape(len(values), int(np.prod(values.shape[1:], dtype=np.int64)))


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    """Labels may be bytes, texts, or numbers whose like came back as text."""
    decoded = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in values.ravel().tolist()
    ]
    return np.array(decoded, dtype=object).reshape(values.shape)
