"""A file of the caller's as the inputs of a model: JSON, npz, npy or CSV.

What the model says of its inputs decides datatype and shape. Nothing is changed on the way: a
number that its datatype cannot hold is refused, not rounded to something else.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.client.tensors import BYTES, DTYPES, Array, Tensor
from gateway.strict_json import strict_json

MAX_INPUT: Final = 256 << 20
"""Bytes of a file: gateways take far smaller bodies; more rows than that are a batch job."""
EXACT: Final = 2**53
"""Up to here a float is the whole number that was written."""
SUBJECTS: Final = "sealgate_subject"
"""The input with a person for each row, which the gateway takes out."""
STANDARD_INPUT: Final = Path("-")

Described = Sequence[Mapping[str, Any]]


def read_input(path: Path) -> tuple[str, bytes]:
    """Return the form of a file, by its name, and its bytes; of standard input, JSON.

    Raises:
        CommandFailed: It cannot be read, is too large, or has a name of no known form.
    """
    form = ".json" if path == STANDARD_INPUT else path.suffix.lower()
    if form not in {".json", ".npz", ".npy", ".csv"}:
        raise _unusable("the input is no .json, .npz, .npy or .csv file", "rename or convert it")
    try:
        if path == STANDARD_INPUT:
            content = _bounded(sys.stdin.buffer)
        else:
            with path.open("rb") as file:
                content = _bounded(file)
    except OSError as cause:
        raise _unusable(f"{path} cannot be read", "check its name") from cause
    return form, content


def whole_request(form: str, content: bytes) -> dict[str, Any] | None:
    """Return a request of the protocol that the file is already, or None."""
    if form != ".json":
        return None
    found = _json(content)
    whole = isinstance(found, dict) and isinstance(found.get("inputs"), list)
    return found if whole else None


def tensors_of(form: str, content: bytes, described: Described) -> list[Tensor]:
    """Return the inputs that a file holds.

    Args:
        form: From `read_input`.
        content: The file.
        described: `inputs` of the model's metadata.

    Raises:
        CommandFailed: It does not fit what the model takes.
    """
    arrays = _ARRAYS[form](content, described)
    known = {one["name"]: one for one in described}
    if len(arrays) == len(known) == 1 and not set(arrays) & set(known):
        arrays = {next(iter(known)): next(iter(arrays.values()))}  # one array, one input
    unknown = sorted(set(arrays) - set(known) - {SUBJECTS})
    if unknown or not arrays:
        raise _unusable(
            f"the model takes {_told(described)}",
            f"the file has {', '.join(f'`{name}`' for name in unknown) or 'nothing'}; rename it",
        )
    return [_tensor(name, array, known.get(name)) for name, array in arrays.items()]


def _tensor(name: str, array: Array, described: Mapping[str, Any] | None) -> Tensor:
    if described is None:
        return Tensor(name, BYTES, array.astype(np.object_).ravel())
    datatype, shape = described["datatype"], described["shape"]
    return Tensor(name, datatype, _shaped(name, _typed(name, array, datatype), shape))


def _typed(name: str, array: Array, datatype: str) -> Array:
    dtype = DTYPES[datatype]
    if datatype != BYTES and array.dtype.kind in "US":
        raise _unusable(f"`{name}` holds text, and the model takes {datatype}", "give numbers")
    if datatype == BYTES:
        if array.dtype.kind not in "USO":
            raise _unusable(f"`{name}` is text for this model", "give strings, not numbers")
        return array.astype(np.object_)
    try:
        with np.errstate(all="ignore"):
            made = array.astype(dtype)
        same = bool(np.all(np.isfinite(made) == np.isfinite(array.astype(np.float64))))
        if dtype.kind != "f":
            same = bool(np.all(made == array))
    except (TypeError, ValueError, OverflowError) as cause:
        raise _unusable(f"`{name}` holds what is no {datatype}", "give numbers") from cause
    if not same:
        raise _unusable(f"`{name}` holds numbers that {datatype} cannot", "convert them first")
    return made


def _shaped(name: str, array: Array, shape: Sequence[int]) -> Array:
    """Return rows of the model's shape: one row, or rows that are flat, are laid out."""
    rest = list(shape[1:])
    if array.ndim == len(shape) or not shape:
        return array
    known = all(size > 0 for size in rest)
    one = array.ndim == len(shape) - 1 and shape[0] in (-1, 1)
    if one and all(a == b or b == -1 for a, b in zip(array.shape, rest, strict=True)):
        return array[np.newaxis]
    if known and array.size and array.size % math.prod(rest) == 0:
        return array.reshape(-1, *rest)
    raise _unusable(
        f"`{name}` has the shape {list(array.shape)}, and the model takes {list(shape)}",
        "reshape it; -1 stands for any size",
    )


def _from_npz(content: bytes, _: Described) -> dict[str, Array]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except Exception as cause:  # of zipfile, zlib, struct and NumPy: whatever bytes lead to
        raise _unusable("the file is no npz of plain arrays", "save it by numpy.savez") from cause


def _from_npy(content: bytes, _: Described) -> dict[str, Array]:
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as cause:
        raise _unusable("the file is no npy of a plain array", "save it by numpy.save") from cause
    if not isinstance(found, np.ndarray):
        raise _unusable("the file is an npz", "name it .npz")
    return {"": found}


def _from_json(content: bytes, described: Described) -> dict[str, Array]:
    found = _json(content)
    named = found if isinstance(found, dict) else {"": found}
    texts = {one["name"] for one in described if one["datatype"] == BYTES} | {SUBJECTS}
    arrays = {}
    for name, values in named.items():
        try:
            arrays[name] = np.array(values, np.object_ if name in texts else None)
        except ValueError as cause:
            raise _unusable(f"the lists of `{name}` are of unequal lengths", "fill them") from cause
    return arrays


def _from_csv(content: bytes, described: Described) -> dict[str, Array]:
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as cause:
        raise _unusable("the file is no CSV in UTF-8", "export it again, as UTF-8") from cause
    if not rows or len({len(row) for row in rows}) != 1:
        raise _unusable("the rows of the file are of unequal lengths, or none", "export it again")
    header = None if all(_number(cell) for cell in rows[0]) else [c.strip() for c in rows.pop(0)]
    columns = list(zip(*rows, strict=True))
    if header is not None and SUBJECTS in header:
        at = header.index(SUBJECTS)
        subjects = np.array(columns.pop(at), np.object_)
        del header[at]
        return {**_columns(header, columns, described), SUBJECTS: subjects}
    return _columns(header, columns, described)


def _columns(
    header: list[str] | None, columns: list[tuple[str, ...]], described: Described
) -> dict[str, Array]:
    """Columns are inputs where they are named so; else all are the one input, side by side."""
    inputs = {one["name"]: one for one in described}
    if header is not None and set(header) <= set(inputs):
        named = dict(zip(header, columns, strict=True))
        return {name: _column(name, cells, inputs[name]) for name, cells in named.items()}
    if len(inputs) != 1:
        raise _unusable(f"the model takes {_told(described)}", "name the columns so, or give JSON")
    (name, one), cells = next(iter(inputs.items())), list(zip(*columns, strict=True))
    if one["datatype"] == BYTES:
        return {name: np.array(cells, np.object_)}
    return {name: _numbers(name, cells, one["datatype"])}


def _column(name: str, cells: tuple[str, ...], described: Mapping[str, Any]) -> Array:
    if described["datatype"] == BYTES:
        values: Array = np.array(cells, np.object_)
    else:
        values = _numbers(name, [(cell,) for cell in cells], described["datatype"])
    return values.reshape(-1, *[1] * (len(described["shape"]) - 1))


def _numbers(name: str, rows: Sequence[Sequence[str]], datatype: str) -> Array:
    """Read cells: whole numbers as such, since a float holds them up to 2**53 only."""
    read = _whole if "INT" in datatype else float
    try:
        return np.array([[read(cell) for cell in row] for row in rows])
    except ValueError as cause:
        raise _unusable(
            f"a cell of `{name}` is no {datatype}", "write nan where a float is missing"
        ) from cause


def _whole(cell: str) -> int:
    """Read a whole number; `2.0` is one, as tables with gaps write it."""
    try:
        return int(cell)
    except ValueError:
        value = float(cell)
        if not value.is_integer() or abs(value) > EXACT:
            raise
        return int(value)


_ARRAYS: Final = {
    ".json": _from_json,
    ".npz": _from_npz,
    ".npy": _from_npy,
    ".csv": _from_csv,
}


def _json(content: bytes) -> Any:
    try:
        return strict_json(content.removeprefix(BOM_UTF8))
    except ValueError as cause:
        raise _unusable(str(cause), "mend it; what JSON cannot say goes into an .npz") from cause


def _bounded(file: BinaryIO) -> bytes:
    content = file.read(MAX_INPUT + 1)
    if len(content) > MAX_INPUT:
        raise _unusable(
            f"the input has more than {MAX_INPUT >> 20} MiB",
            "sealgate model batch run, for many rows",
        )
    return content


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _told(described: Described) -> str:
    return ", ".join(f"`{one['name']}` {one['datatype']} {one['shape']}" for one in described)


def _unusable(what: str, advice: str) -> CommandFailed:
    return CommandFailed(what, ExitCode.USAGE, advice)
