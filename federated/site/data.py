"""Load a site's own table. The rows stay in this process: nothing here sends or logs a value."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from federated.aggregation import Vector
from federated.errors import DataRefused
from federated.task import Matrix

MAX_FILE_BYTES = 2 * 1024**3
"""A table of this trainer is held in memory twice (read, standardised)."""


@dataclass(frozen=True, slots=True)
class Table:
    """A site's rows.

    Attributes:
        features: Shape (n, d), finite.
        labels: Zeros and ones, shape (n,).
    """

    features: Matrix
    labels: Vector


def load(path: Path, label: str) -> Table:
    """Read an npz (arrays `x` and `y`) or a csv with a header line.

    Args:
        path: The file; its suffix says which of the two it is.
        label: Name of the csv column that holds the label; the others are features, in order.

    Raises:
        DataRefused: The file is absent, too large, not a table of numbers, or its labels are not
            zeros and ones. The message never repeats what the file holds.
    """
    try:
        size = path.stat().st_size
    except OSError:
        raise DataRefused("the data file cannot be opened") from None
    if size > MAX_FILE_BYTES:
        raise DataRefused("the data file is too large")
    if path.suffix == ".npz":
        features, labels = _read_npz(path)
    elif path.suffix == ".csv":
        features, labels = _read_csv(path, label)
    else:
        raise DataRefused("the data file must end in `.npz` or `.csv`")
    if features.ndim != 2 or labels.shape != (features.shape[0],) or not labels.size:
        raise DataRefused("the data file does not hold one label a row")
    if not np.isfinite(features).all():
        raise DataRefused("the data file holds a value that is not a finite number")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataRefused("the labels must be zeros and ones")
    return Table(features, labels)


def _read_npz(path: Path) -> tuple[Matrix, Vector]:
    try:
        # numpy leaves a file that it opened itself open when the archive's directory is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            features, labels = archive["x"], archive["y"]
        return np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    # numpy raises OSError, ValueError, KeyError, BadZipFile, zlib.error … on a damaged file.
    except Exception:
        raise DataRefused("the data file is not an npz with the arrays `x` and `y`") from None


def _read_csv(path: Path, label: str) -> tuple[Matrix, Vector]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = csv.reader(lines)
            header = next(rows)
            column = header.index(label)
            table = np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
        return np.delete(table, column, axis=1), table[:, column]
    # UnicodeDecodeError is a ValueError; ragged rows make `np.array` raise one too.
    except (OSError, ValueError, StopIteration, csv.Error, IndexError):
        raise DataRefused("the data file is not a csv of numbers with the label column") from None
