"""A model whose weights can be recognised anywhere, and a search that recognises them."""

from __future__ import annotations

import base64
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.e2e.models import Owned

WIDTH: Final = 32
# Every 64 bytes of the weights, wherever they begin, hold one of these blocks whole.
BLOCK: Final = 32
ROWS: Final = 150
LARGEST: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Canary:
    """A model with 4 kB of random weights; `traces` is what must be found nowhere."""

    owned: Owned
    weights: bytes

    @property
    def traces(self) -> set[bytes]:
        """Each block of the weights: as it is, in hexadecimal and in base64 at any position."""
        blocks = [self.weights[at : at + BLOCK] for at in range(0, len(self.weights), BLOCK)]
        found: set[bytes] = set(blocks)
        for block in blocks:
            found.add(block.hex().encode())
            # Whole groups of three bytes encode alike wherever the text begins.
            found |= {base64.b64encode(block[skip : skip + 27]) for skip in range(3)}
        return found

    def seen_in(self, path: Path) -> bool:
        """Tell whether a file holds any trace."""
        data = path.read_bytes()
        return any(trace in data for trace in self.traces)


def hatch() -> Canary:
    """Make a linear classifier of 32 x 32 random weights, with a small calibration set."""
    rng = np.random.default_rng(int.from_bytes(os.urandom(16), "big"))
    weights = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)
    last = rng.normal(size=(WIDTH, 2)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "v"], ["z"]),
            helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
        ],
        "canary",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(last, "v")],
    )
    opset = [helper.make_opsetid("", 17)]
    model: Any = helper.make_model(graph, ir_version=8, opset_imports=opset)
    x = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    calibration = io.BytesIO()
    np.savez(calibration, x=x, y=(x @ weights @ last).argmax(axis=1).astype(np.int64))
    content = bytes(model.SerializeToString())
    assert weights.tobytes() in content
    owned = Owned("canary", False, content, calibration.getvalue(), "features", x)
    return Canary(owned, weights.tobytes())


def files_of(*folders: Path, since: float = 0.0) -> Iterator[Path]:
    """Files that were changed since a moment and can be read; what vanishes meanwhile is passed."""
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                facts = path.lstat()
                readable = stat.S_ISREG(facts.st_mode) and facts.st_size <= LARGEST
                if readable and max(facts.st_mtime, facts.st_ctime) >= since:
                    with path.open("rb"):
                        yield path
            except OSError:
                continue
