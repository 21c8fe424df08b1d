"""A small convolutional network on images of 3 by 224 by 224, with random weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SHAPE = (3, 224, 224)
"""602,112 bytes in FP32."""

CHANNELS = (3, 16, 32, 64)
CLASSES = 10


def image_model(seed: int = 7) -> bytes:
    """Return the model: `image` FP32 [-1, 3, 224, 224] to `probabilities` [-1, 10]."""
    random = np.random.default_rng(seed)
    nodes, weights, at = [], [], "image"
    for layer, (before, after) in enumerate(pairwise(CHANNELS)):
        kernel = random.standard_normal((after, before, 3, 3)) / np.sqrt(9 * before)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{layer}"))
        conv = helper.make_node(
            "Conv", [at, f"w{layer}"], [f"c{layer}"], strides=[2, 2], pads=[1, 1, 1, 1]
        )
        nodes += [conv, helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"])]
        at = f"r{layer}"
    last = random.standard_normal((CHANNELS[-1], CLASSES)).astype(np.float32)
    weights.append(numpy_helper.from_array(last, "w"))
    nodes += [
        helper.make_node("GlobalAveragePool", [at], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return bytes(model.SerializeToString())
