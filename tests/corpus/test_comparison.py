"""What counts as the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.corpus.clients.exchange import Tensor, keep, kept
from tests.corpus.comparison import (
    BINARY,
    EXACT,
    NOT_FINITE,
    difference,
    is_finite,
    judged,
    misdescribed,
)

ONE = np.array([1.0, -0.0, np.nan, np.inf], np.float32)


@pytest.mark.parametrize(
    ("got", "told"),
    [
        (ONE.copy(), ""),
        (np.nextafter(ONE, np.float32(2)), "differs in"),
        (np.array([1.0, 0.0, np.nan, np.inf], np.float32), "differs in"),
        (ONE.astype(np.float64), "is float64 in place of float32"),
        (ONE.reshape(2, 2), "has the shape [2, 2] in place of [4]"),
    ],
)
def test_a_difference_in_one_bit_is_told(got: np.ndarray, told: str) -> None:
    assert told in difference("y", ONE, got)
    assert bool(told) == bool(difference("y", ONE, got))


def test_texts_are_compared_as_texts(tmp_path: Path) -> None:
    tensors = (Tensor("a/b", "BYTES"), Tensor("file", "FP32"))
    texts = np.array([b"yes", "nö", ""], object)
    keep(tmp_path / "m.npz", tensors, {"a/b": texts, "file": ONE})
    read = kept(tmp_path / "m.npz", tensors)
    assert read["a/b"].tolist() == ["yes", "nö", ""]
    assert difference("file", ONE, read["file"]) == ""
    assert difference("a/b", read["a/b"], np.array(["yes", "no", ""], object))


def test_a_refusal_of_json_is_right_only_where_json_cannot_carry_the_answer() -> None:
    refused = f"{NOT_FINITE}: infinite, or not a number"
    said = {BINARY: EXACT, "curl_json": refused}
    assert judged("m", said, finite=is_finite({"y": ONE})).outcome == EXACT
    assert judged("m", said, finite=True).outcome == "different"
    said[BINARY] = "`y` differs"
    assert judged("m", said, finite=False).outcome == "different"


def test_what_a_client_cannot_say_is_no_fault_and_no_agreement() -> None:
    found = judged("m", {BINARY: EXACT, "curl_json": "cannot send: BF16 in JSON"}, finite=True)
    assert (found.outcome, found.agreeing) == (EXACT, 1)


@pytest.mark.parametrize(
    ("shape", "told"),
    [([-1], ""), ([4], ""), ([3], "the metadata tell [3]"), ([-1, 1], "the metadata tell [-1, 1]")],
)
def test_metadata_that_do_not_fit_an_answer_are_told(shape: list[int], told: str) -> None:
    wrong = misdescribed([{"name": "y", "datatype": "FP32", "shape": shape}], {"y": ONE})
    assert told in wrong
    assert bool(told) == bool(wrong)
    assert misdescribed([], {"y": ONE}) == "`y` is not in the metadata"
