"""The owner's rows to compare on: npz or csv to arrays. No pickle is read.

An npz holds an array by input, or `x` as a calibration set does (its `y` is passed over). A csv has
a line of names; a column in which every cell is a number is one of numbers.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.conversion.request import Stuck

MOST_ROWS: Final = 2_000
"""That are compared: more find little more, and the owner waits."""
MADE_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Rows:
    """What there is to compare on.

    Attributes:
        told: In words, as in `150 rows of rows.csv`.
        arrays: By name, rows first.
        table: Whether names are those of columns.
    """

    told: str
    arrays: dict[str, NDArray[Any]]
    table: bool

    @property
    def matrix(self) -> NDArray[Any] | None:
        """The one array of an npz, or the numbers of a table; None where there is no such thing."""
        if not self.table:
            return next(iter(self.arrays.values())) if len(self.arrays) == 1 else None
        columns = list(self.arrays.values())
        return np.stack(columns, axis=1) if all(c.dtype.kind == "f" for c in columns) else None


def read_rows(path: Path) -> Rows:
    """Read rows.

    Raises:
        Stuck: `sample`, with what was found.
    """
    try:
        arrays = _csv(path) if path.suffix.lower() == ".csv" else _npz(path)
    except (OSError, ValueError, EOFError, csv.Error, zipfile.BadZipFile) as fault:
        raise Stuck(
            "sample",
            f"{path} cannot be read as rows ({type(fault).__name__})",
            "give an npz archive of plain arrays, or a csv file with a line of names",
        ) from None
    arrays = {name: array[:MOST_ROWS] for name, array in arrays.items()}
    count = max((len(array) for array in arrays.values()), default=0)
    if not count:
        raise Stuck("sample", f"{path} holds no rows", "give some: a hundred tell much")
    return Rows(f"{count} rows of {path.name}", arrays, path.suffix.lower() == ".csv")


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    # Opened here: numpy leaves the file open where an archive is broken.
    with path.open("rb") as file:
        members = np.load(file, allow_pickle=False)
        if isinstance(members, np.ndarray):
            raise ValueError
        names = [name for name in members.files if members[name].ndim]
        if "x" in names and set(names) <= {"x", "y"}:
            names = ["x"]
        return {name: np.asarray(members[name]) for name in names}


def _csv(path: Path) -> dict[str, NDArray[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        lines = [line for line, _ in zip(reader, range(MOST_ROWS), strict=False)]
    if len(set(names)) != len(names) or any(len(line) != len(names) for line in lines):
        raise ValueError
    return {name: _column([line[i] for line in lines]) for i, name in enumerate(names)}


def _column(cells: list[str]) -> NDArray[Any]:
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError:
        return np.array(cells, dtype=object)
