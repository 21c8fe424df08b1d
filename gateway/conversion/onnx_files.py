"""ONNX files of an owner: with their weights beside them, read into one model; written as one.

The reader of `onnx` (1.21 and later) opens weights below the model's own folder only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import onnx
import onnx.external_data_helper
from google.protobuf.message import (  # type: ignore[import-untyped]
    DecodeError,
    EncodeError,
)

from gateway.conversion.request import Stuck
from gateway.conversion.servable import is_outside, tensors

ONE_FILE_LIMIT: Final = (2 << 30) - 1
"""Bytes: protobuf cannot hold more."""


def read(path: Path) -> tuple[Any, list[str]]:
    """Read a model with all its weights; returns it, and what that changed.

    Raises:
        Stuck: `malformed`, `external_data` (its files are not there) or `too_large`.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError):
        raise Stuck(
            "malformed",
            f"{path.name} is no ONNX model, or is cut short",
            "export it again, as ONNX",
        ) from None
    outside = [tensor for tensor in tensors(model) if is_outside(tensor)]
    if not outside:
        return model, []
    files = sorted(
        {entry.value for t in outside for entry in t.external_data if entry.key == "location"}
    )
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as fault:  # the checker's own class, OSError or ValueError
        raise Stuck(
            "external_data",
            f"its weights in `{files[0]}` cannot be read: {' '.join(str(fault).split())[:200]}",
            f"put `{files[0]}` beside {path.name}, as it was exported",
        ) from None
    count, named = len(outside), ", ".join(files[:3])
    return model, [f"{count} weights from {named} were put into the one file"]


def serialised(model: Any) -> bytes:
    """Return the bytes of a model.

    Raises:
        Stuck: `too_large`.
    """
    try:
        data: bytes = model.SerializeToString()
    except (EncodeError, ValueError):
        data = b""
    if not 0 < len(data) <= ONE_FILE_LIMIT:
        raise Stuck(
            "too_large",
            "in one file it is larger than 2 GiB",
            "quantise it, or save its weights as float16",
        )
    return data
