"""A model that takes its time: some hundred million operations a row, whatever the row says."""

from __future__ import annotations

import io

import numpy as np
from onnx import TensorProto, helper

from tests.e2e.models import Owned
from tests.gateway.artifacts.hostile_models import build, constant, node, tensor

WIDTH = 1024
STEPS = 300
COLUMNS = 4
CALIBRATED = 100


def slow() -> Owned:
    """A row takes some 20 ms, a thousand of them longer than a stopping gateway waits."""
    random = np.random.default_rng(7)
    body = helper.make_graph(
        [
            node("MatMul", ["h", "w"], ["product"]),
            node("Tanh", ["product"], ["next"]),
            node("Identity", ["go"], ["again"]),
        ],
        "body",
        [
            tensor("i", [], TensorProto.INT64),
            tensor("go", [], TensorProto.BOOL),
            tensor("h", ["n", WIDTH]),
        ],
        [tensor("again", [], TensorProto.BOOL), tensor("next", ["n", WIDTH])],
    )
    model = build(
        [
            node("MatMul", ["x", "spread"], ["wide"]),
            node("Loop", ["steps", "true", "wide"], ["end"], body=body),
            node("MatMul", ["end", "gather"], ["little"]),
            node("MatMul", ["x", "sign"], ["much"]),
            node("Add", ["little", "much"], ["y"]),
        ],
        inputs=[tensor("x", ["n", COLUMNS])],
        outputs=[tensor("y", ["n", 2])],
        constants=[
            constant("steps", STEPS),
            constant("true", True, np.bool_),
            constant("spread", random.normal(size=(COLUMNS, WIDTH)) / 9, np.float32),
            constant("w", random.normal(size=(WIDTH, WIDTH)) / 32, np.float32),
            constant("gather", np.full((WIDTH, 2), 1e-9), np.float32),
            constant("sign", [[9, -9], *[[0, 0]] * (COLUMNS - 1)], np.float32),
        ],
    )
    rows = random.normal(size=(1_000, COLUMNS)).astype(np.float32)
    data = io.BytesIO()
    np.savez(data, x=rows[:CALIBRATED], y=(rows[:CALIBRATED, 0] < 0).astype(np.int64))
    return Owned("slow", False, model.SerializeToString(), data.getvalue(), "x", rows)
