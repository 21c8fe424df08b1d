"""Inputs from a model's owner: an npz archive to arrays that fit the model. Runs in the sandbox.

1. Nothing is unpickled. What an archive inflates to is bounded by the sandbox's memory.
2. Only inputs of the model are taken, each brought to its element type where nothing is lost but
   precision, with the sizes that the graph fixes.
"""

from __future__ import annotations

# What `np.load` needs is imported here: a confined job cannot import it later.
import encodings.cp437  # noqa: F401
import io
import zipfile  # noqa: F401
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.char
import numpy.lib.format
from numpy.typing import NDArray

from gateway.artifacts.manifest import RANK_LIMIT
from gateway.artifacts.model_refusals import Refusal, named, printable
from gateway.artifacts.onnx_border import Border
from gateway.artifacts.trial import DTYPES

MEMBERS_LIMIT: Final = 256  # as many as a model may have inputs
CALIBRATION_ROWS: Final = 2
"""Of a calibration set as a sample: two tell a row dimension from a fixed 1."""


def read_sample(archive: memoryview, borders: Sequence[Border]) -> dict[str, NDArray[Any]]:
    """Read the owner's sample.

    Raises:
        Refusal: `sample`, with the input at fault.
    """
    arrays = _arrays(archive)
    known = {border.spec.name: border for border in borders}
    unknown = sorted(arrays.keys() - known.keys())
    if unknown:
        taken = ", ".join(printable(name, 40) for name in list(known)[:8])
        raise Refusal("sample", named("array", unknown[0]), f"the inputs are {taken}")
    for name, border in known.items():
        if name not in arrays and not border.spec.optional:
            raise Refusal("sample", named("input", name), "it is missing")
    return {name: fitted(array, known[name]) for name, array in arrays.items()}


def read_rows(archive: memoryview, borders: Sequence[Border]) -> dict[str, NDArray[Any]] | None:
    """Take the first rows of a calibration set for the only input; None where they do not fit.

    What is wrong with the set is told by the calibration itself.
    """
    required = [border for border in borders if not border.spec.optional]
    try:
        rows = _arrays(archive, ("x",))["x"]
        (border,) = required
        shape = border.spec.shape
        count = CALIBRATION_ROWS if shape[:1] in ((), (-1,)) else shape[0]
        return {border.spec.name: fitted(rows[:count], border)}
    except (Refusal, KeyError, ValueError, IndexError):
        return None


def _arrays(archive: memoryview, wanted: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as members:
            names = [name for name in members.files if not wanted or name in wanted]
            if len(names) > MEMBERS_LIMIT:
                raise Refusal("sample", found=f"it has more than {MEMBERS_LIMIT} arrays")
            return {name: np.asarray(members[name]) for name in names}
    except (Refusal, MemoryError):
        raise
    except Exception:  # numpy, zipfile and zlib raise what they like on such bytes
        raise Refusal("sample", found="it is no npz archive of plain arrays") from None


def fitted(array: NDArray[Any], border: Border) -> NDArray[Any]:
    """Bring an array to an input's element type.

    Raises:
        Refusal: `sample`: its shape or its type does not fit.
    """
    spec = border.spec
    part = named("input", spec.name)
    shape = " x ".join(str(size) for size in array.shape) or "scalar"
    declared = ", ".join(str(size) for size in spec.shape)
    if border.ranked and (
        array.ndim != len(spec.shape)
        or any(want not in (-1, got) for want, got in zip(spec.shape, array.shape, strict=True))
    ):
        raise Refusal("sample", part, f"its shape is {shape}, not [{declared}]")
    if array.ndim > RANK_LIMIT:
        raise Refusal("sample", part, f"its shape is {shape}")
    kind = array.dtype.kind
    if spec.datatype == "BYTES":
        if kind not in "US":
            raise Refusal("sample", part, f"its type is {array.dtype}, not text")
        texts = np.char.decode(array, "utf-8") if kind == "S" else array
        return np.asarray(texts).astype(np.object_)
    want = np.dtype(DTYPES[spec.datatype])
    if spec.datatype == "BF16" and kind == "f":
        bits = array.astype(np.float32).view(np.uint32) >> 16
        return np.asarray(bits).astype(np.uint16)
    if kind not in "biuf" or not np.can_cast(array.dtype, want, "same_kind"):
        raise Refusal("sample", part, f"its type is {array.dtype}, not {spec.datatype}")
    return np.ascontiguousarray(array, want).reshape(array.shape)
