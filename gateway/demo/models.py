"""The demo's models: small networks trained in NumPy and written as ONNX by hand.

Neither needs a training framework, both are the same for the same seed, and each takes a second or
two. They stand for what a model owner brings; nothing of the gateway depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gateway.demo.datasets import SEED, Labels, Rows, Split

Weights: TypeAlias = NDArray[np.float32]
Layers: TypeAlias = list[tuple[Weights, Weights]]

OPSET: Final = 17
IR_VERSION: Final = 8
# Adam's usual constants (Kingma and Ba 2015).
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train a network.

    Attributes:
        hidden: Widths of the hidden layers; none makes it a logistic regression.
        epochs: Passes over the rows.
        rate: Learning rate at the start; it falls to nothing.
        decay: Weight decay.
        batch: Rows a step.
    """

    hidden: tuple[int, ...]
    epochs: int
    rate: float
    decay: float = 1e-4
    batch: int = 64


DIGITS: Final = Recipe(hidden=(128, 64), epochs=15, rate=2e-3)
BREAST_CANCER: Final = Recipe(hidden=(), epochs=60, rate=2e-2, decay=1e-3)


def digits_model(train: Split, seed: int = SEED) -> bytes:
    """Train on (rows, 1, 8, 8). ONNX: `image` FP32 [-1, 1, 8, 8] to `probabilities` [-1, 10]."""
    layers = _trained(train.x.reshape(len(train.x), -1), train.y, 10, DIGITS, seed)
    return _onnx("image", [1, 8, 8], layers)


def breast_cancer_model(train: Split, seed: int = SEED) -> bytes:
    """Train on (rows, 30). ONNX: `features` FP32 [-1, 30] to `probabilities` [-1, 2]."""
    mean, spread = train.x.mean(axis=0), train.x.std(axis=0)
    layers = _trained((train.x - mean) / spread, train.y, 2, BREAST_CANCER, seed)
    return _onnx("features", [30], layers, (mean, spread))


def _trained(x: Rows, y: Labels, classes: int, recipe: Recipe, seed: int) -> Layers:
    """Minimise the cross-entropy by Adam with a learning rate that falls linearly."""
    rng = np.random.default_rng(seed)
    sizes = [x.shape[1], *recipe.hidden, classes]
    layers: Layers = [
        (
            rng.normal(0.0, np.sqrt(2.0 / wide), (wide, narrow)).astype(np.float32),
            np.zeros(narrow, np.float32),
        )
        for wide, narrow in pairwise(sizes)
    ]
    parameters = [parameter for layer in layers for parameter in layer]
    first = [np.zeros_like(parameter) for parameter in parameters]
    second = [np.zeros_like(parameter) for parameter in parameters]
    per_epoch = -(-len(x) // recipe.batch)
    steps = recipe.epochs * per_epoch
    for step in range(steps):
        if step % per_epoch == 0:
            order = rng.permutation(len(x))
        start = step % per_epoch * recipe.batch
        rows = order[start : start + recipe.batch]
        gradients = _gradients(layers, x[rows], y[rows], recipe.decay)
        rate = recipe.rate * (1.0 - step / steps)
        for parameter, mean, square, gradient in zip(
            parameters, first, second, gradients, strict=True
        ):
            mean += (1 - _FIRST) * (gradient - mean)
            square += (1 - _SECOND) * (gradient**2 - square)
            unbiased = np.sqrt(square / (1 - _SECOND ** (step + 1)))
            parameter -= rate / (1 - _FIRST ** (step + 1)) * mean / (unbiased + _TINY)
    return layers


def _gradients(layers: Layers, x: Rows, y: Labels, decay: float) -> list[Weights]:
    """Back-propagate the softmax cross-entropy: weights and biases in turn, first layer first."""
    activations = [x]
    for position, (weights, biases) in enumerate(layers):
        z = activations[-1] @ weights + biases
        activations.append(z if position == len(layers) - 1 else np.maximum(z, 0.0))
    logits = activations[-1]
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = shifted / shifted.sum(axis=1, keepdims=True)
    error[np.arange(len(y)), y] -= 1.0
    error /= len(y)
    gradients: list[Weights] = []
    for position in range(len(layers) - 1, -1, -1):
        weights, _ = layers[position]
        gradients[:0] = [activations[position].T @ error + decay * weights, error.sum(axis=0)]
        error = (error @ weights.T) * (activations[position] > 0)
    return gradients


def _onnx(
    name: str, shape: list[int], layers: Layers, scaling: tuple[Weights, Weights] | None = None
) -> bytes:
    """Write the network: flatten, scale, layers with ReLU between them, softmax."""
    nodes = [helper.make_node("Flatten", [name], ["flat"], axis=1)]
    constants = {f"w{at}": weights for at, (weights, _) in enumerate(layers)}
    constants |= {f"b{at}": biases for at, (_, biases) in enumerate(layers)}
    value = "flat"
    if scaling is not None:
        constants |= {"mean": scaling[0], "spread": scaling[1]}
        nodes.append(helper.make_node("Sub", [value, "mean"], ["centred"]))
        nodes.append(helper.make_node("Div", ["centred", "spread"], ["scaled"]))
        value = "scaled"
    for at in range(len(layers)):
        nodes.append(helper.make_node("Gemm", [value, f"w{at}", f"b{at}"], [f"z{at}"]))
        value = f"z{at}"
        if at < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [value], [f"h{at}"]))
            value = f"h{at}"
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], axis=1))
    classes = layers[-1][1].shape[0]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", *shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", classes])],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model: Any = helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
