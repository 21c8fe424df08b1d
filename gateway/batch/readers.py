"""Files of rows to columns: npz, JSON lines, Parquet. Runs in the confined job only.

What the libraries do with hostile bytes is bounded by the confinement. Here: no pickle is read, a
key that is there twice is refused instead of the last one winning, and what other tools write by
habit is taken: a byte-order mark, CRLF, empty lines, `NaN`, dictionaries and lists of Parquet.
"""

from __future__ import annotations

import encodings.cp437  # noqa: F401  (zipfile needs it; a confined job cannot import it later)
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.lib.format  # see above

from gateway.batch.columns import Column, Columns
from gateway.batch.errors import RowsRefused

try:
    import pyarrow as pa
    import pyarrow.compute  # noqa: F401  (casts need it; see above)
    import pyarrow.parquet as pq
except ImportError:  # without the extra
    pa = pq = None

BOM: Final = b"\xef\xbb\xbf"
MAX_COLUMNS: Final = 16_384
"""A table with more features than this is one input with rows of numbers."""


def read_npz(data: memoryview) -> Columns:
    """Read an archive of numpy arrays.

    Raises:
        RowsRefused: It is none, or holds pickled objects.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if len(set(names)) != len(names):
                raise RowsRefused("duplicate_column")
            found = {}
            for name in names:
                with archive.open(name) as member:
                    found[name.removesuffix(".npy")] = _array(member.read())
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        SyntaxError,
        TypeError,
    ) as fault:
        raise RowsRefused("malformed") from fault
    return found


def _array(member: bytes) -> Column:
    try:
        array: Column = np.lib.format.read_array(io.BytesIO(member), allow_pickle=False)
    except ValueError as fault:
        raise RowsRefused("pickled" if "allow_pickle" in str(fault) else "malformed") from fault
    if array.ndim == 0:
        raise RowsRefused("row_count")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def read_lines(data: memoryview) -> Columns:
    """Read JSON lines: one object a row, its keys the columns.

    Raises:
        RowsRefused: A line is none, or has other keys than the first.
    """
    raw = bytes(data).removeprefix(BOM)
    rows: list[dict[str, Any]] = []
    for line in raw.splitlines() if b"\r" in raw else raw.split(b"\n"):
        if line.strip():
            rows.append(_object(line, len(rows)))
    if not rows:
        raise RowsRefused("empty")
    names = list(rows[0])
    if len(names) > MAX_COLUMNS:
        raise RowsRefused("columns")
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise RowsRefused("columns", number)
    return {name: _objects([row[name] for row in rows]) for name in names}


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line.decode(), object_pairs_hook=lambda pairs: _once(pairs, number))
    except UnicodeDecodeError as fault:
        raise RowsRefused("encoding", number) from fault
    except (ValueError, RecursionError) as fault:
        raise RowsRefused("malformed", number) from fault
    if not isinstance(value, dict):
        raise RowsRefused("malformed", number)
    return value


def _once(pairs: list[tuple[str, Any]], number: int) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RowsRefused("duplicate_column", number)
    return found


def _objects(values: list[Any]) -> Column:
    column = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        column[at] = value
    return column


def read_parquet(data: memoryview) -> Columns:
    """Read a Parquet file.

    Raises:
        RowsRefused: It is none, a value is missing, or a column is of a type that no input has.
    """
    if pq is None:
        raise RowsRefused("no_parquet")
    try:
        table = pq.ParquetFile(pa.BufferReader(pa.py_buffer(data))).read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError, TypeError, RuntimeError) as fault:
        raise RowsRefused("malformed") from fault
    names = table.column_names
    if len(set(names)) != len(names):
        raise RowsRefused("duplicate_column")
    if len(names) > MAX_COLUMNS:
        raise RowsRefused("columns")
    return {name: _arrow(table.column(name)) for name in names}


def _arrow(chunked: Any) -> Column:
    """Return a column; texts, lists and columns with missing values as objects."""
    kind = chunked.type
    if pa.types.is_dictionary(kind):
        chunked, kind = chunked.cast(kind.value_type), kind.value_type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if plain and chunked.null_count == 0:
        array: Column = chunked.to_numpy()
        return array
    return _objects(chunked.to_pylist())


READERS: Final[dict[str, Callable[[memoryview], Columns]]] = {
    "npz": read_npz,
    "jsonl": read_lines,
    "parquet": read_parquet,
}
"""Format → its reader."""
