"""From packed parameters to a finished ONNX model: pure numpy in, bytes out.

The standardisation is folded into the coefficients, so the model takes the features as the sites
measured them: `w' = w / scale`, `b' = b - Σ w · mean / scale`.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from federated.aggregation import Vector
from federated.errors import NotFinite, WrongShape
from federated.task import Standardisation

OPSET = 17
IR_VERSION = 8
"""Versions that every onnxruntime of the last years reads."""


def export(parameters: Vector, standardisation: Standardisation) -> bytes:
    """Return the ONNX model of a logistic regression.

    Its input is `features`, float32 [-1, d]; its output `probabilities`, float32 [-1, 2] (of class
    zero and one, each row adds up to one).

    Args:
        parameters: `[w, b]` over standardised features, shape (d + 1,).
        standardisation: Mean and scale, shape (d,) each.

    Raises:
        WrongShape: Shapes do not fit together.
        NotFinite: A folded coefficient does not fit float32.
    """
    width = parameters.size - 1
    shapes = {standardisation.mean.shape, standardisation.scale.shape}
    if width < 1 or shapes != {(width,)}:
        raise WrongShape
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        weights = parameters[:-1] / standardisation.scale
        intercept = parameters[-1] - float(weights @ standardisation.mean)
        folded = np.append(weights, intercept).astype(np.float32)
    if not np.isfinite(folded).all():
        raise NotFinite
    # Both classes as columns of one product: the logit of class zero is the negative half.
    columns = np.stack([-folded[:-1], folded[:-1]], axis=1)
    offsets = np.array([-folded[-1], folded[-1]], dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "weights", "intercepts"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        ],
        "logistic_regression",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])],
        [
            numpy_helper.from_array(columns, "weights"),
            numpy_helper.from_array(offsets, "intercepts"),
        ],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="sealgate",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
