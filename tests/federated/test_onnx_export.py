from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from federated.errors import NotFinite, WrongShape
from federated.onnx_export import export
from federated.task import Standardisation, probabilities


def run(model: bytes, features: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"features": features.astype(np.float32)})[0]
    return result


@pytest.mark.parametrize("rows", [1, 7])
def test_model_computes_the_standardised_regression(rows: int) -> None:
    random = np.random.default_rng(3)
    parameters = random.normal(size=6)
    standardisation = Standardisation(random.normal(10, 3, 5), random.uniform(0.1, 100, 5))
    features = random.normal(10, 20, (rows, 5))
    logits = standardisation.apply(features) @ parameters[:-1] + parameters[-1]
    given = run(export(parameters, standardisation), features)
    assert given.shape == (rows, 2)
    np.testing.assert_allclose(given[:, 1], probabilities(logits), atol=1e-4)
    np.testing.assert_allclose(given.sum(axis=1), 1.0, atol=1e-6)


def test_names_types_and_shapes() -> None:
    graph = onnx.load_from_string(
        export(np.zeros(4), Standardisation(np.zeros(3), np.ones(3)))
    ).graph
    (features,), (output,) = graph.input, graph.output
    assert (features.name, output.name) == ("features", "probabilities")
    assert features.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert features.type.tensor_type.shape.dim[0].dim_param
    assert features.type.tensor_type.shape.dim[1].dim_value == 3
    assert output.type.tensor_type.shape.dim[1].dim_value == 2


def test_same_parameters_give_the_same_bytes() -> None:
    standardisation = Standardisation(np.zeros(2), np.ones(2))
    assert export(np.ones(3), standardisation) == export(np.ones(3), standardisation)


@pytest.mark.parametrize(
    ("parameters", "mean", "scale"), [(4, 2, 3), (4, 3, 2), (4, 2, 2), (1, 0, 0)]
)
def test_shapes_must_fit(parameters: int, mean: int, scale: int) -> None:
    with pytest.raises(WrongShape):
        export(np.zeros(parameters), Standardisation(np.zeros(mean), np.ones(scale)))


def test_coefficients_must_fit_float32() -> None:
    with pytest.raises(NotFinite):
        export(np.array([1e300, 0.0]), Standardisation(np.zeros(1), np.full(1, 1e-12)))
