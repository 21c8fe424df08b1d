"""What the owner of the tests brings: two trained models with their calibration sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gateway.demo.datasets import Split, digits, hospitals
from gateway.demo.models import breast_cancer_model, digits_model

# Rows that the digits are learnt from; the demo uses all of them.
ENOUGH: Final = 2_000


@dataclass(frozen=True, slots=True)
class Owned:
    """A model, the set that its screen is calibrated with, and rows to ask it about."""

    name: str
    personal: bool
    onnx: bytes
    calibration: bytes
    input: str
    rows: NDArray[np.float32]

    def tensor(self, row: int = 0, count: int = 1) -> dict[str, Any]:
        """Some rows as an input of the Open Inference Protocol."""
        x = self.rows[row : row + count]
        return {
            "name": self.input,
            "shape": list(x.shape),
            "datatype": "FP32",
            "data": x.ravel().tolist(),
        }

    def body(self, row: int = 0, count: int = 1, **parameters: Any) -> dict[str, Any]:
        """A request about some rows."""
        body: dict[str, Any] = {"inputs": [self.tensor(row, count)]}
        return {**body, "parameters": parameters} if parameters else body


def train() -> dict[str, Owned]:
    """Train `digits`, whose screen may block, and `biopsy`, which concerns people."""
    images, patients = digits(), hospitals()
    learnt = Split(images.train.x[:ENOUGH], images.train.y[:ENOUGH])
    with threadpool_limits(1):  # these matrices are too small to share out
        digits_onnx = digits_model(learnt)
        biopsy_onnx = breast_cancer_model(patients.sites["north"])
    return {
        "digits": Owned(
            name="digits",
            personal=False,
            onnx=digits_onnx,
            calibration=images.calibration.npz(),
            input="image",
            rows=images.test.x,
        ),
        "biopsy": Owned(
            name="biopsy",
            personal=True,
            onnx=biopsy_onnx,
            calibration=patients.calibration.npz(),
            input="features",
            rows=patients.test.x,
        ),
    }
