from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.inference.bfloat16 import from_float64, to_float32
from gateway.inference.minimise import label_only

FLOATS = {"p": "FP32"}
SCORES = arrays.arrays(
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.tuples(st.integers(0, 5), st.integers(2, 6)),
)


@given(SCORES)
def test_only_the_label_is_left_of_scores(scores: np.ndarray) -> None:
    hot = label_only({"p": scores}, FLOATS)["p"]
    assert (hot.dtype, hot.shape) == (scores.dtype, scores.shape)
    assert set(np.unique(hot)) <= {0.0, 1.0}
    assert (hot.sum(axis=1) == 1).all()
    if len(scores):
        assert (hot.argmax(axis=1) == scores.argmax(axis=1)).all()


@given(SCORES)
def test_margins_that_differ_look_the_same(scores: np.ndarray) -> None:
    clear = np.zeros(scores.shape, np.float64)
    clear[np.arange(len(scores)), scores.argmax(axis=1)] = 1e3
    left, right = (label_only({"p": one}, FLOATS)["p"] for one in (scores, clear))
    assert left.tolist() == right.tolist()


def test_one_probability_becomes_yes_or_no() -> None:
    reduced = label_only({"p": np.array([[0.51], [0.49]], np.float32)}, FLOATS)["p"]
    assert reduced.tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, 2], [3, 4]], np.int64),
        np.array([0.5, 0.25], np.float32),
        np.array(["cat", "dog"], object),
        np.array(0.5, np.float32),
        np.ones((2, 3, 4), np.float32),
    ],
    ids=["whole numbers", "a value a row", "texts", "a scalar", "an image"],
)
def test_what_is_no_table_of_scores_stays(array: np.ndarray) -> None:
    given_away = {"other": array, "p": np.array([[0.2, 0.8]])}
    reduced = label_only(given_away, {**FLOATS, "other": "FP32"})
    assert reduced["other"] is array
    assert reduced["p"].tolist() == [[0.0, 1.0]]
    assert list(reduced) == ["other", "p"]
    assert given_away["p"].tolist() == [[0.2, 0.8]], "the caller's arrays are left alone"


@given(SCORES)
def test_scores_in_bfloat16_are_reduced_and_integers_are_not(scores: np.ndarray) -> None:
    bits = from_float64(np.clip(np.nan_to_num(scores).astype(np.float64), -1e30, 1e30))
    reduced = label_only({"b": bits, "u": bits}, {"b": "BF16", "u": "UINT16"})
    assert reduced["u"] is bits
    expected = label_only({"p": to_float32(bits)}, FLOATS)["p"]
    np.testing.assert_array_equal(to_float32(reduced["b"]), expected)


def test_what_is_no_score_in_bfloat16_is_kept_bit_for_bit() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    np.testing.assert_array_equal(label_only({"b": every}, {"b": "BF16"})["b"], every)
