from __future__ import annotations

import numpy as np
import pytest

from federated.errors import NotFinite, WrongShape
from federated.task import (
    Standardisation,
    TrainingSettings,
    evaluate,
    pooled,
    probabilities,
    sums,
    train,
)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    features = random.normal(loc=5.0, scale=3.0, size=(80, 4))
    return features, (features @ [1.0, -1.0, 0.5, 0.0] > 2.0).astype(float)


def test_pooled_standardisation_is_that_of_all_rows(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = rows
    agreed = pooled(sums(features[:30]) + sums(features[30:]), 80)
    np.testing.assert_allclose(agreed.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(agreed.scale, features.std(axis=0), rtol=1e-9)


def test_constant_feature_is_not_scaled() -> None:
    agreed = pooled(sums(np.full((10, 1), 7.0)), 10)
    np.testing.assert_array_equal(agreed.apply(np.array([[7.0]])), [[0.0]])


def test_one_step_follows_the_gradient_of_the_loss(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = rows
    features = Standardisation(features.mean(axis=0), features.std(axis=0)).apply(features)
    start = np.linspace(-0.5, 0.5, 5)
    step = train(start, features, labels, TrainingSettings(1, 1e-3, 0.0))
    for index in range(5):
        nudge = np.zeros(5)
        nudge[index] = 1e-6
        up = evaluate(start + nudge, features, labels)["loss"]
        down = evaluate(start - nudge, features, labels)["loss"]
        slope = (up - down) / 2e-6
        assert (start - step)[index] / 1e-3 == pytest.approx(slope, abs=1e-6)


def test_training_lowers_the_loss(rows: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = rows
    features = Standardisation(features.mean(axis=0), features.std(axis=0)).apply(features)
    trained = train(np.zeros(5), features, labels, TrainingSettings(200, 0.5, 1e-3))
    assert evaluate(np.zeros(5), features, labels)["loss"] == pytest.approx(np.log(2))
    assert evaluate(trained, features, labels)["loss"] < 0.2
    assert evaluate(trained, features, labels)["accuracy"] > 0.95


def test_large_logits_do_not_overflow() -> None:
    np.testing.assert_array_equal(probabilities(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])
    loss = evaluate(np.array([1e4, 0.0]), np.array([[1.0], [-1.0]]), np.array([0.0, 0.0]))["loss"]
    assert loss == pytest.approx(5000.0)


def test_parameters_must_fit() -> None:
    with pytest.raises(WrongShape):
        train(np.zeros(2), np.zeros((3, 4)), np.zeros(3), TrainingSettings(1, 0.1, 0.0))


def test_divergence_is_an_error() -> None:
    huge = np.array([[1e200], [-1e200]])
    with pytest.raises(NotFinite), np.errstate(all="ignore"):
        train(np.zeros(2), huge, np.array([0.0, 1.0]), TrainingSettings(50, 1e200, 1e200))
