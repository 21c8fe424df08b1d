"""What an estimator of scikit-learn takes, and rows for it.

One matrix, one column of texts, or one input a column where the pipeline picks columns by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from gateway.conversion.made_rows import centres, words
from gateway.conversion.request import Stuck
from gateway.conversion.rows import MADE_ROWS, Rows

_MOST_DEPTH: Final = 8  # of pipelines within pipelines
_DTYPES: Final[Mapping[str, Any]] = {"f": np.float32, "i": np.int64, "U": np.object_}


@dataclass(frozen=True, slots=True)
class Column:
    """One input: its name, its type (`f`, `i` or `U` as numpy's kinds), columns of its matrix.

    `width` None: texts, one a row.
    """

    name: str
    kind: str
    width: int | None
    categories: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What an estimator takes: columns by name (a data frame), or one array."""

    columns: list[Column]
    by_name: bool = field(default=False)


def taken_by(model: Any, rows: Rows | None) -> Taken:
    """Find what a model takes.

    Raises:
        Stuck: `inputs`: it does not say, and there are no rows to tell.
    """
    parts = list(parts_of(model))
    if any(hasattr(part, "vocabulary_") for part in parts[:2]) and not _picks_by_name(parts):
        return Taken([Column("text", "U", None)])
    names = getattr(model, "feature_names_in_", None)
    if names is not None and _picks_by_name(parts):
        kinds = _kinds(parts, rows)
        return Taken([_named(str(name), kinds) for name in names], by_name=True)
    width = getattr(model, "n_features_in_", None)
    if width is None and rows is not None and rows.matrix is not None and rows.matrix.ndim > 1:
        width = rows.matrix.shape[1]
    if width is None and not any(_fitted(part) for part in parts):
        raise Stuck("unfitted", "the model was not trained", "fit it, and save it afterwards")
    if width is None:
        raise Stuck(
            "inputs",
            "the model does not say how many columns it takes",
            "give rows: --sample ROWS.npz (`x`, one row a line), or ROWS.csv",
        )
    categories = next((p.categories_ for p in parts[:1] if hasattr(p, "categories_")), None)
    if categories is not None and any(c.dtype.kind in "OUS" for c in categories):
        known = tuple(tuple(column.tolist()) for column in categories)
        return Taken([Column("x", "U", int(width), known)])
    return Taken([Column("x", "f", int(width))])


def feeds(taken: Taken, rows: Rows | None, model: Any) -> dict[str, NDArray[Any]]:
    """Return the rows to compare on by input; without any they are made.

    Raises:
        Stuck: `sample`: the rows do not fit.
    """
    if rows is None:
        return _made(taken, model)
    if taken.by_name:
        missing = [c.name for c in taken.columns if c.name not in rows.arrays]
        if missing:
            raise Stuck("sample", f"column `{missing[0]}` is not in the sample", "add it")
        return {c.name: _cast(rows.arrays[c.name], c) for c in taken.columns}
    (column,) = taken.columns
    array = _picked(rows, model, column)
    if array is None or (column.width is not None and array.shape[1:] != (column.width,)):
        found = "x".join(str(n) for n in array.shape) if array is not None else "several arrays"
        raise Stuck(
            "sample",
            f"the model takes {column.width or 1} columns, and the sample is {found}",
            "leave out what the model does not take, such as the target",
        )
    return {column.name: _cast(array, column)}


def parts_of(model: Any, depth: int = 0) -> Iterator[Any]:
    """Yield a model and what it is made of, in the order in which rows meet it."""
    if depth > _MOST_DEPTH:
        return
    steps = getattr(model, "steps", None)
    if steps is not None:
        for _, step in steps:
            yield from parts_of(step, depth + 1)
        return
    yield model
    for name in ("transformers_", "transformer_list"):
        for entry in getattr(model, name, ()):
            yield from parts_of(entry[1], depth + 1)


def width_of(column: Column) -> list[int]:
    """Return the columns of its matrix; nothing where it is one text a row."""
    return [] if column.width is None else [column.width]


def _cast(array: NDArray[Any], column: Column) -> NDArray[Any]:
    shape = (len(array), *width_of(column))
    try:
        return array.astype(_DTYPES[column.kind]).reshape(shape)
    except (ValueError, TypeError):
        raise Stuck(
            "sample", f"`{column.name}` holds other values than the model was trained on"
        ) from None


def _picked(rows: Rows, model: Any, column: Column) -> NDArray[Any] | None:
    """Of a table the columns that the model was trained on, where it knows their names."""
    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if rows.table and names and all(name in rows.arrays for name in names):
        return np.stack([rows.arrays[name] for name in names], axis=1)
    if rows.table and column.kind == "U":
        array = np.stack([a.astype(np.object_) for a in rows.arrays.values()], axis=1)
        return array.ravel() if column.width is None and array.shape[1] == 1 else array
    return rows.matrix


def _fitted(part: Any) -> bool:
    """Tell whether a part learned something: what it learned ends in `_`, by convention."""
    return any(name.endswith("_") and not name.startswith("_") for name in vars(part))


def _picks_by_name(parts: list[Any]) -> bool:
    return any(isinstance(name, str) for part in parts for _, name, _ in _selections(part))


def _selections(part: Any) -> Iterator[tuple[Any, Any, int]]:
    """Yield (transformer, column, place among its columns) of a column transformer."""
    for _, transformer, columns in getattr(part, "transformers_", ()):
        dropped = isinstance(transformer, str) and transformer == "drop"
        if dropped or isinstance(columns, slice):
            continue
        for place, column in enumerate([columns] if isinstance(columns, str) else columns):
            yield transformer, column, place


def _kinds(parts: list[Any], rows: Rows | None) -> dict[str, Column]:
    """Return the columns of which more is known than that they hold numbers."""
    found: dict[str, Column] = {}
    for part in parts:
        for transformer, name, place in _selections(part):
            inner = next(parts_of(transformer), None)
            categories = getattr(inner, "categories_", None)
            if hasattr(inner, "vocabulary_"):
                found[name] = Column(name, "U", 1, tuple(words(inner)))
            elif categories is not None and place < len(categories):
                kind = {"O": "U", "U": "U", "S": "U", "f": "f"}.get(
                    categories[place].dtype.kind, "i"
                )
                found[name] = Column(name, kind, 1, tuple(categories[place].tolist()))
    for name, array in (rows.arrays if rows is not None else {}).items():
        if array.dtype.kind in "OUS" and name not in found:
            found[name] = Column(name, "U", 1)
    return found


def _named(name: str, known: Mapping[str, Column]) -> Column:
    return known.get(name, Column(name, "f", 1))


def _made(taken: Taken, model: Any) -> dict[str, NDArray[Any]]:
    """Make rows where the model was trained: around what its scalers and trees remember."""
    chance = default_rng(0)
    if taken.by_name:
        return {c.name: _one_column(c, chance) for c in taken.columns}
    (column,) = taken.columns
    if column.kind == "f":
        assert column.width is not None
        middle, spread = centres(list(parts_of(model)), column.width)
        x = middle + spread * chance.normal(size=(MADE_ROWS, column.width))
        return {column.name: x.astype(np.float32)}
    if column.width is None:
        known = [word for part in parts_of(model) for word in words(part)] or ["a", "b"]
        texts = [" ".join(chance.choice(known, size=6)) for _ in range(MADE_ROWS)]
        return {column.name: np.array(texts, dtype=object)}
    chosen = [chance.choice(np.array(c, dtype=object), MADE_ROWS) for c in column.categories]
    return {column.name: np.stack(chosen, axis=1)}


def _one_column(column: Column, chance: Any) -> NDArray[Any]:
    if column.categories:
        values = chance.choice(np.array(column.categories, dtype=object), MADE_ROWS)
    elif column.kind == "U":
        values = chance.choice(np.array(["a", "b"], dtype=object), MADE_ROWS)
    else:
        values = chance.normal(scale=10.0, size=MADE_ROWS)
    return _cast(values, column)
