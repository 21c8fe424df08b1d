from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from gateway.demo.datasets import Digits, Hospitals, Split, digits, hospitals
from gateway.demo.models import breast_cancer_model, digits_model


@pytest.fixture(scope="module")
def images() -> Digits:
    return digits()


@pytest.fixture(scope="module")
def patients() -> Hospitals:
    return hospitals()


def everyone(data: Hospitals) -> Split:
    sites = data.sites.values()
    return Split(np.concatenate([s.x for s in sites]), np.concatenate([s.y for s in sites]))


def accuracy(model: bytes, name: str, data: Split) -> float:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {name: data.x})
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    return float((probabilities.argmax(axis=1) == data.y).mean())


def test_the_digits_model_learns_and_is_the_same_again(images: Digits) -> None:
    model = digits_model(images.train)
    assert accuracy(model, "image", images.test) > 0.93
    assert model == digits_model(images.train)
    assert model != digits_model(images.train, seed=1)


def test_the_breast_cancer_model_learns_and_is_the_same_again(patients: Hospitals) -> None:
    model = breast_cancer_model(everyone(patients))
    assert accuracy(model, "features", patients.test) > 0.93
    assert model == breast_cancer_model(everyone(patients))


def test_shapes_are_those_that_the_demo_names(images: Digits, patients: Hospitals) -> None:
    few = Split(images.train.x[:200], images.train.y[:200])
    for model, name, shape in (
        (digits_model(few), "image", ["rows", 1, 8, 8]),
        (breast_cancer_model(everyone(patients)), "features", ["rows", 30]),
    ):
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        (only,) = session.get_inputs()
        assert (only.name, only.shape, only.type) == (name, shape, "tensor(float)")
