"""What kind of model a file holds, by its first bytes. Pure but for reading the file.

1. Nothing is parsed beyond a list of names in an archive, and nothing is run: a file that would be
   unpickled is known before anybody does so.
2. A file that looks like nothing known is left for admission to name.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "pickle", "torch_pickle", "torch_script", "torch_program", "xgboost", "lightgbm", "onnx"
]

TOLD: Final[Mapping[Kind, str]] = {
    "pickle": "a pickle",
    "torch_pickle": "a pickle of torch's",
    "torch_script": "TorchScript",
    "torch_program": "an exported program of torch's",
    "xgboost": "a model of XGBoost's",
    "lightgbm": "a model of LightGBM's",
    "onnx": "ONNX",
}
"""Kind → what a file of it is called."""
PICKLED: Final[frozenset[Kind]] = frozenset(
    {"pickle", "torch_pickle", "torch_script", "torch_program"}
)
"""Kinds whose loading may run what their maker put in.

torch says so of its exported programs, whose example and constants it unpickles, and of TorchScript
(`torch.export.load`, `torch.jit.load`).
"""
_HEAD: Final = 4096
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x04\x22\x4d\x18")
"""gzip, bz2, xz and lz4 by their marks; joblib writes any of these around a pickle."""
_ZLIB: Final = frozenset({b"x\x01", b"x^", b"x\x9c", b"x\xda"})
_NAMES: Final = frozenset({".pkl", ".pickle", ".joblib"})
_PROTOCOL: Final = range(2, 6)


def kind_of(path: Path) -> Kind | None:
    """Return what a file holds, or None where that is nothing known.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:2] == b"PK":
        return _of_archive(path)
    if _pickled(head, path.suffix.lower()):
        return "pickle"
    if _boosted(head):
        return "xgboost"
    if head.startswith(b"tree\n") and b"version=" in head:
        return "lightgbm"
    # Field 1 of a ModelProto is its version of the format, a small number.
    return "onnx" if path.suffix.lower() == ".onnx" or head[:1] == b"\x08" else None


def _pickled(head: bytes, suffix: str) -> bool:
    if head[:1] == b"\x80" and len(head) > 1 and head[1] in _PROTOCOL:
        return True
    squeezed = head.startswith(_COMPRESSED) or head[:2] in _ZLIB
    return suffix in _NAMES and (squeezed or head[:1] in (b"(", b"c", b"\x80"))


def _boosted(head: bytes) -> bool:
    """XGBoost's own formats: JSON, and UBJSON, both one object with a `learner`."""
    start = head.lstrip()[:1]
    return start == b"{" and b"learner" in head[:_HEAD]


def _of_archive(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    if "constants.pkl" in names:
        return "torch_script"
    if any(
        name.endswith(("serialized_exported_program.json", "models/model.json")) for name in names
    ):
        return "torch_program"
    return "torch_pickle" if "data.pkl" in names else None
