"""Columns of a file to the inputs of a model. Pure; runs in the confined job.

1. Nothing is guessed: each input is a column of its own name, or the model has one input and the
   columns of numbers, in the order of the file, are its features.
2. No value is changed by the conversion: whole numbers stay whole, texts are never numbers, and a
   missing value is refused. Fractions are rounded to the input's precision, as they are in a call.
3. A refusal names the first row and the input at fault by position; it holds nothing of the file.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.batch.errors import RowsRefused
from gateway.inference.tensors import DTYPES

SUBJECT: Final = "sealgate_subject"
PANDAS_INDEX: Final = "__index_level_0__"
"""What pandas writes beside the columns when the index is not a plain count."""
SINGLE: Final = "arr_0"
"""What numpy calls an array that was saved without a name."""
MAX_SUBJECT: Final = 512
"""The longest identifier that has a reference (`audit.sealing`)."""
_WHOLE_IN_FLOAT64: Final = 1 << 53

Column = NDArray[Any]
Columns = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the model: name, datatype of the protocol, shape with -1 where it is open.

    One that is `optional` has a default and may be left out, for all rows.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What the file holds, as the model takes it.

    Attributes:
        arrays: By input, in the model's order; the first dimension counts the rows.
        subjects: One for each row, or empty.
    """

    arrays: dict[str, Column]
    subjects: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.arrays.values())))


def fit(columns: Columns, inputs: Sequence[Input]) -> Table:
    """Return the table that columns are, for a model with these inputs.

    Args:
        columns: By name; each has one element, or one array, for each row.
        inputs: Of the model.

    Raises:
        RowsRefused: They do not fit.
    """
    left = {name: column for name, column in columns.items() if name != PANDAS_INDEX}
    subjects = left.pop(SUBJECT, None)
    inputs = [one for one in inputs if not one.optional or one.name in left]
    found = _assigned(left, inputs)
    counts = {len(column) for column in found}
    if subjects is not None:
        counts.add(len(subjects))
    if len(counts) != 1:
        raise RowsRefused("row_count")
    if counts == {0}:
        raise RowsRefused("empty")
    arrays = {
        one.name: convert(column, one, place)
        for place, (one, column) in enumerate(zip(inputs, found, strict=True))
    }
    return Table(arrays, () if subjects is None else _subjects(subjects))


def _assigned(columns: dict[str, Column], inputs: Sequence[Input]) -> list[Column]:
    """Return the column of each input."""
    names = {one.name for one in inputs}
    if names <= columns.keys():
        if columns.keys() - names:
            raise RowsRefused("unknown_column")
        return [columns[one.name] for one in inputs]
    if len(inputs) == 1 and columns:
        if columns.keys() == {SINGLE}:
            return [columns[SINGLE]]
        if not names & columns.keys():
            return [_features(columns, inputs[0])]
    raise RowsRefused("columns")


def _features(columns: Columns, only: Input) -> Column:
    """Put columns of single values side by side."""
    width = math.prod(only.shape[1:])
    if len(only.shape) < 2 or width not in (-1, len(columns)):
        raise RowsRefused("columns")
    if len({len(column) for column in columns.values()}) != 1:
        raise RowsRefused("row_count")
    if any(column.ndim != 1 for column in columns.values()):
        raise RowsRefused("shape", column=0)
    flat = Input(only.name, only.datatype, only.shape[:1])
    return np.stack([convert(column, flat, 0) for column in columns.values()], axis=1)


def convert(column: Column, wanted: Input, place: int) -> Column:
    """Return a column in the input's datatype and shape, no value changed.

    Args:
        column: One element or array for each row; texts and ragged rows as objects.
        wanted: The input.
        place: Its position, for the refusal.

    Raises:
        RowsRefused: A value is missing or does not fit.
    """
    dtype = DTYPES.get(wanted.datatype)
    if dtype is None:
        raise RowsRefused("datatype", column=place)
    values = _uniform(column, place) if column.dtype == object else column
    shaped = _shaped(values, wanted.shape[1:], place)
    if dtype.kind == "O":
        return _texts(shaped, place)
    if shaped.dtype.kind not in "fiub" or (shaped.dtype.kind == "b") != (dtype.kind == "b"):
        raise RowsRefused("datatype", 0, place)
    return _exactly(shaped, dtype, place)


def _uniform(column: Column, place: int) -> Column:
    """Make one array of objects: numbers become numbers, texts stay, ragged rows are refused."""
    kinds: set[str] = set()
    for row, value in enumerate(column):
        kind = _kind(value)
        if kind in "?-" or (kinds and not kinds | {kind} <= {"i", "f"} and kind not in kinds):
            raise RowsRefused("null" if kind == "-" else "datatype", row, place)
        kinds.add(kind)
    if kinds == {"O"}:
        return column
    values = column.tolist()
    if kinds == {"i", "f"} and any(_too_whole(value) for value in values):
        raise RowsRefused("inexact", column=place)
    dtypes: dict[str, tuple[type[np.generic], ...]] = {"i": (np.int64, np.uint64), "b": (np.bool_,)}
    for dtype in dtypes.get("f" if "f" in kinds else kinds.pop(), ()):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array(values, dtype=dtype)
    try:
        return np.array(values, dtype=np.float64)
    except (ValueError, OverflowError):
        shape = np.shape(values[0])
        ragged = [row for row, value in enumerate(values) if _shape(value) != shape]
        raise RowsRefused(
            "shape" if ragged else "inexact", min(ragged, default=-1), place
        ) from None


def _kind(value: Any) -> str:
    """Return what a value is made of: f, i, b, O for texts, - for nothing, ? for anything else."""
    if isinstance(value, (list, tuple)):
        types = set(map(type, value))
        if types and types <= {int, float}:  # a row of numbers, the usual one, without a loop
            return "f" if float in types else "i"
        kinds = {_kind(item) for item in value}
        if "-" in kinds:
            return "-"
        if kinds == {"i", "f"}:
            return "f"
        return kinds.pop() if len(kinds) == 1 else "?"
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        return "i"
    if isinstance(value, float):
        return "f"
    if value is None:
        return "-"
    return "O" if isinstance(value, (str, bytes)) else "?"


def _too_whole(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_too_whole(item) for item in value)
    return isinstance(value, int) and abs(value) > _WHOLE_IN_FLOAT64


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of a row, or one that no row has where its lists are uneven."""
    try:
        return np.shape(value)
    except ValueError:
        return (-1,)


def _shaped(values: Column, inner: tuple[int, ...], place: int) -> Column:
    """Hold the values of a row to the input's shape; a flat row is put into it."""
    have = values.shape[1:]
    if values.dtype == object and values.ndim == 1 and have != inner:
        values = _nested_texts(values, place)
        have = values.shape[1:]
    if len(have) == len(inner) and all(w in (-1, h) for w, h in zip(inner, have, strict=True)):
        return values
    if -1 not in inner and math.prod(inner) == math.prod(have):
        return values.reshape(len(values), *inner)
    raise RowsRefused("shape", 0, place)


def _nested_texts(values: Column, place: int) -> Column:
    if not any(isinstance(value, (list, tuple)) for value in values):
        return values
    try:
        made = np.array([list(value) for value in values], dtype=object)
    except (ValueError, TypeError):
        raise RowsRefused("shape", column=place) from None
    return made


def _texts(values: Column, place: int) -> Column:
    if values.dtype.kind not in "OUS":
        raise RowsRefused("datatype", 0, place)
    flat = np.empty(values.size, dtype=object)
    for at, value in enumerate(values.ravel()):
        try:
            flat[at] = value.decode() if isinstance(value, bytes) else str(value)
            flat[at].encode()
        except UnicodeError:
            row = at // max(1, values.size // len(values))
            raise RowsRefused("encoding", row, place) from None
    return flat.reshape(values.shape)


def _exactly(values: Column, dtype: np.dtype[Any], place: int) -> Column:
    """Convert; a whole number must still be the same, and a fraction never becomes a whole one."""
    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(dtype)
        if values.dtype.kind == "f" and dtype.kind == "f":
            return made  # rounded; what is too large becomes infinite, which contracts refuse
        same = made.astype(values.dtype) == values
        if values.dtype.kind in "iu" and dtype.kind in "iu":
            same &= (made < 0) == (values < 0)  # a wrapped number comes back as it was
        elif dtype.kind in "iu":
            low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
            same &= (values >= low) & (values <= high)
    if not same.all():
        row = int(np.argmin(same.reshape(len(same), -1).all(axis=1)))
        raise RowsRefused("inexact", row, place)
    return made


def _subjects(column: Column) -> tuple[str, ...]:
    names: list[str] = []
    for row, value in enumerate(column.tolist()):
        name = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_SUBJECT:
            raise RowsRefused("subject", row)
        names.append(name)
    return tuple(names)
