"""Models made smaller or faster by onnxruntime's own tools. Run by a throw-away environment.

usage: python reduced.py FOLDER: takes models of `networks.py` there, and writes more beside them
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

FOLDER = Path(sys.argv[1])
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


class Pictures(CalibrationDataReader):
    def __init__(self) -> None:
        chance = np.random.default_rng(0)
        pictures = (chance.random((2, 3, 64, 64), np.float32) for _ in range(4))
        self._all = iter([{"x": picture} for picture in pictures])

    def get_next(self) -> Any:
        return next(self._all, None)


def dynamic(name: str) -> None:
    quantize_dynamic(FOLDER / f"torch_{name}.onnx", FOLDER / f"int8_dynamic_{name}.onnx")


def static() -> None:
    prepared = FOLDER / "prepared.tmp"
    quant_pre_process(FOLDER / "torch_cnn.onnx", prepared)
    quantize_static(prepared, FOLDER / "int8_static_cnn.onnx", Pictures())
    prepared.unlink()


def optimised(name: str) -> None:
    """The graph as the runtime would run it, saved: operators of its own domain are in it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(FOLDER / f"optimised_{name}.onnx")
    onnxruntime.InferenceSession(
        FOLDER / f"torch_{name}.onnx", options, providers=["CPUExecutionProvider"]
    )


for work, argument in (
    (dynamic, "mlp"), (dynamic, "lstm"), (dynamic, "words"), (static, None),
    (optimised, "words"), (optimised, "cnn"), (optimised, "mlp"),
):  # fmt: skip
    try:
        work(*filter(None, (argument,)))
    except Exception as fault:
        print(f"{work.__name__} {argument}: {type(fault).__name__}: {fault}", file=sys.stderr)
