from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from gateway.screening.reference import MAX_REFERENCES, fit_reference
from gateway.screening.screens import (
    MAX_SCORE,
    SCREENS,
    Scales,
    raw_scores,
    scaled_scores,
    strangeness,
    strangeness_of_row,
    two_columns,
)
from tests.gateway.screening.classifiers import CENTRES, CLASSES, clouds

X, Y = clouds(300, seed=1)
REFERENCE = fit_reference(X, Y, CLASSES)
SURE = np.full((1, CLASSES), 0.01) + np.eye(CLASSES)[:1] * 0.97


def raw(x: np.ndarray, answer: np.ndarray = SURE) -> dict[str, float]:
    scores = raw_scores(REFERENCE, x.astype(np.float32), answer, "probabilities")
    return dict(zip(SCREENS, scores[0].tolist(), strict=True))


def test_an_answer_that_contradicts_the_input_is_strange() -> None:
    agreed, contradicted = raw(CENTRES[:1]), raw(CENTRES[1:2])
    assert contradicted["trust"] > 0 > agreed["trust"]
    assert contradicted["opinion"] > 0 > agreed["opinion"]
    assert contradicted["margin"] == agreed["margin"]


def test_an_unsure_answer_has_a_small_margin() -> None:
    unsure = np.array([[0.5, 0.49, 0.01]])
    assert raw(CENTRES[:1])["margin"] < raw(CENTRES[:1], unsure)["margin"] < 0


def test_what_clean_inputs_never_do_is_residual() -> None:
    flat = X.copy()
    flat[:, 5] = flat[:, 4]  # clean inputs live in a plane
    reference = fit_reference(flat, Y, CLASSES)
    inside, outside = flat[:2].copy(), flat[:2].copy()
    outside[:, 5] += 1.0
    answers = np.repeat(SURE, 2, axis=0)
    column = SCREENS.index("residual")
    before = raw_scores(reference, inside, answers, "probabilities")[:, column]
    after = raw_scores(reference, outside, answers, "probabilities")[:, column]
    assert (after > before + 1.0).all()


def test_units_of_columns_do_not_matter() -> None:
    units = np.array([1e-3, 1.0, 1e4, 7.0, 1e2, 1e-2], dtype=np.float32)
    other = fit_reference(X * units, Y, CLASSES)
    answers = np.eye(CLASSES)[Y]
    assert np.allclose(
        raw_scores(REFERENCE, X, answers, "logits"),
        raw_scores(other, X * units, answers, "logits"),
        atol=1e-3,
    )


def test_references_are_bounded_and_balanced() -> None:
    y = np.array([0] * 900 + [1] * 60 + [2] * 40)
    reference = fit_reference(clouds(1000, seed=2)[0], y, CLASSES)
    present = (reference.weights != 0).any(axis=1).reshape(CLASSES, -1).sum(axis=1)
    assert present.tolist() == [MAX_REFERENCES // CLASSES, 60, 40]


def test_a_class_without_references_is_far_from_everything() -> None:
    some = Y != 2
    reference = fit_reference(X[some], Y[some], CLASSES)
    answers = np.eye(CLASSES)[np.full(5, 2)]
    scores = raw_scores(reference, X[:5], answers, "logits")
    assert (scores[:, SCREENS.index("trust")] > 5).all()


def test_two_columns_of_a_binary_answer() -> None:
    assert two_columns(np.array([0.2, 0.9]), "probabilities").tolist() == [
        [pytest.approx(0.8), 0.2],
        [pytest.approx(0.1), 0.9],
    ]
    assert two_columns(np.array([[-3.0], [2.0]]), "logits").argmax(axis=1).tolist() == [0, 1]


def test_scaled_scores_are_bounded_and_never_hide_a_fault() -> None:
    scales = Scales(np.zeros(4), np.ones(4))
    raw_values = np.array([[np.nan, np.inf, -np.inf, 3.0]])
    assert scaled_scores(raw_values, scales).tolist() == [[MAX_SCORE, MAX_SCORE, 0.0, 3.0]]


def test_strangeness_adds_squares_and_never_hides_a_fault() -> None:
    scores = np.array([[1.0, 2.0, 0.0, 0.0], [np.nan, 0.0, 0.0, 0.0]], dtype=np.float32)
    assert strangeness(scores).tolist() == [5.0, np.inf]


@given(hnp.arrays(np.float32, (1, len(SCREENS))))
def test_one_row_is_as_strange_alone_as_among_others(scores: np.ndarray) -> None:
    assert strangeness_of_row(scores[0].tolist()) == strangeness(scores)[0]
