"""A calibration set: npz bytes from an owner to two arrays. Pure.

Safety argument. Whatever the bytes are, `read_calibration_set` returns arrays of plain numbers, or
raises `CalibrationRefused`:
1. No pickle is ever read: an element type that is not a plain number is refused from its header.
2. The size of a member is bounded before it is inflated, by what the archive claims; `zipfile`
   inflates no more than that claim. Bounds hold for members together, so a bomb does not go off.
3. The shape in a header is multiplied out in Python integers and must fill the member exactly.

Source: NumPy enhancement proposal 1 (the `.npy` format), versions 1.0 and 2.0.
"""

from __future__ import annotations

import ast
import encodings.cp437  # noqa: F401  (zipfile needs it; a confined job cannot import it later)
import io
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.screening.errors import CalibrationRefused

# A few thousand rows decide the thresholds; this is generous for images of 224x224x3.
MAX_ARCHIVE_BYTES: Final = 256 << 20
MAX_ARRAY_BYTES: Final = 512 << 20
# Fewer leave no rows for one of the parts; more only cost time.
MIN_ROWS: Final = 100
MAX_ROWS: Final = 50_000
MAX_RANK: Final = 8
_MAX_HEADER: Final = 4096  # a header of a plain array is about 100 bytes

_MAGIC: Final = b"\x93NUMPY"
_PLAIN_NUMBER: Final = re.compile(r"[<>|=]?(?:[iu][1248]|f[248]|b1)")
_HEADER_KEYS: Final = frozenset({"descr", "fortran_order", "shape"})
_MEMBERS: Final = frozenset({"x.npy", "y.npy"})


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Clean rows that the model was not trained on.

    Attributes:
        x: Inputs, (rows, …), finite, of the element type that the owner chose.
        y: The class of each row as an index, (rows,), int64.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]


def read_calibration_set(data: bytes | memoryview) -> CalibrationSet:
    """Read an npz archive that holds exactly `x` and `y`.

    Raises:
        CalibrationRefused: For anything else, with the reason.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise CalibrationRefused("archive")
    members = _members(data)
    x, y = _read_npy(members["x.npy"]), _read_npy(members["y.npy"])
    if x.dtype.kind not in "fiu" or y.dtype.kind not in "iu":
        raise CalibrationRefused("dtype")
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not MIN_ROWS <= len(x) <= MAX_ROWS:
        raise CalibrationRefused("rows")
    if 0 in x.shape:
        raise CalibrationRefused("array")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise CalibrationRefused("not_finite")
    if y.dtype.itemsize == 8 and y.dtype.kind == "u" and (y > np.iinfo(np.int64).max).any():
        raise CalibrationRefused("labels")
    return CalibrationSet(x, y.astype(np.int64))


def _members(data: bytes | memoryview) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) != len(_MEMBERS) or {e.filename for e in entries} != _MEMBERS:
                raise CalibrationRefused("archive")
            if sum(entry.file_size for entry in entries) > MAX_ARRAY_BYTES:
                raise CalibrationRefused("array")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,  # also what lzma and bz2 raise
        ValueError,
        NotImplementedError,  # a compression method that zipfile does not know
        RuntimeError,  # an encrypted member
        OverflowError,
    ) as error:
        raise CalibrationRefused("archive") from error


def _read_npy(member: bytes) -> NDArray[Any]:
    descr, fortran, shape, start = _header(member)
    if not isinstance(descr, str) or not _PLAIN_NUMBER.fullmatch(descr):
        raise CalibrationRefused("dtype")
    if (
        not isinstance(shape, tuple)
        or not 1 <= len(shape) <= MAX_RANK
        or not all(type(size) is int and size >= 0 for size in shape)
        or type(fortran) is not bool
    ):
        raise CalibrationRefused("array")
    dtype = np.dtype(descr)
    if math.prod(shape) * dtype.itemsize != len(member) - start:
        raise CalibrationRefused("array")
    flat = np.frombuffer(member, dtype, offset=start)
    native = flat.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if fortran else "C")


def _header(member: bytes) -> tuple[object, object, object, int]:
    """Return `descr`, `fortran_order`, `shape` and where the values start."""
    width = {b"\x01\x00": 2, b"\x02\x00": 4}.get(member[6:8])
    if member[:6] != _MAGIC or width is None:
        raise CalibrationRefused("array")
    start = 8 + width
    end = start + int.from_bytes(member[8:start], "little")
    if end - start > _MAX_HEADER or end > len(member):
        raise CalibrationRefused("array")
    try:
        fields = ast.literal_eval(member[start:end].decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise CalibrationRefused("array") from error
    if not isinstance(fields, dict) or set(fields) != _HEADER_KEYS:
        raise CalibrationRefused("array")
    return fields["descr"], fields["fortran_order"], fields["shape"], end
