"""The result of one chunk: as bytes, and sealed to the caller's own key. Pure.

A result is an npz archive without pickles, in an age file for one recipient:

- `row`: numbers of the answered rows, counted in the whole job from 0;
- `refused_row` and `refused_reason`: the rows without an answer, each with a stable code;
- `degraded`: whether outputs were reduced to labels;
- `output.NAME`: the answers, one for each of `row`.

Nobody but the holder of the recipient's key opens it: the gateway keeps no file key of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.artifacts.age import FILE_KEY_LENGTH, PayloadEncryptor, make_header, parse_recipient

OUTPUT = "output."
Array = NDArray[Any]


def encode(
    answered: list[int],
    outputs: Mapping[str, Array],
    refused: Mapping[int, str],
    *,
    degraded: bool,
) -> bytes:
    """Return a result.

    Args:
        answered: Rows of the job, in the order of the outputs.
        outputs: By name; the first dimension counts the answered rows.
        refused: Row of the job → why it has no answer.
        degraded: Outputs were reduced.
    """
    members: dict[str, Array] = {
        "row": np.array(answered, dtype=np.int64),
        "refused_row": np.array(sorted(refused), dtype=np.int64),
        "refused_reason": np.array([refused[row] for row in sorted(refused)], dtype=np.str_),
        "degraded": np.array(degraded),
    }
    members |= {OUTPUT + name: _plain(array) for name, array in outputs.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **members)
    return file.getvalue()


def seal(plain: bytes, recipient: str, random_bytes: Callable[[int], bytes]) -> bytes:
    """Return an age file that only the recipient opens.

    Raises:
        RecipientInvalid: The text is no age public key.
    """
    file_key = random_bytes(FILE_KEY_LENGTH)
    encryptor = PayloadEncryptor(file_key, random_bytes)
    header = make_header(file_key, [parse_recipient(recipient)], random_bytes)
    return b"".join([header, encryptor.update(plain), encryptor.finish()])


def _plain(array: Array) -> Array:
    """Return an array without objects: texts get a width."""
    if array.dtype.kind not in "OS":
        return array
    flat = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.ravel()]
    return np.array(flat, dtype=np.str_).reshape(array.shape)
