from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.inference.classification import MAX_TEXTS, MAX_VALUES, classified, classify
from gateway.inference.errors import MalformedRequest


def test_the_example_of_the_extension() -> None:
    assert classified(np.array([1, 5, 10, 4]), 2).tolist() == ["10:2", "5:1"]


@given(
    hnp.arrays(
        st.sampled_from(["<f2", "<f4", "<f8", "i1", "<u8"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
    ),
    st.integers(1, 40),
)
def test_every_text_reads_back_as_the_value_at_its_index(values: np.ndarray, count: int) -> None:
    texts = classified(values, count)
    rows = values.reshape(len(values), -1)
    assert texts.shape == (len(rows), min(count, rows.shape[1]))
    for row, told in zip(rows, texts, strict=True):
        indices = [int(text.split(":")[1]) for text in told]
        assert len(set(indices)) == len(indices)
        read = np.array([text.split(":")[0] for text in told]).astype(values.dtype)
        np.testing.assert_array_equal(read, row[indices])
        highest = (
            np.sort(row[~np.isnan(row)])[::-1] if row.dtype.kind == "f" else np.sort(row)[::-1]
        )
        np.testing.assert_array_equal(read[: len(highest)], highest[: len(read)])


def test_of_equal_values_the_lower_index_goes_first_and_no_number_last() -> None:
    values = np.array([[2.0, np.nan, 7.0, 2.0, -np.inf]])
    assert classified(values, 9).tolist() == [["7.0:2", "2.0:0", "2.0:3", "-inf:4", "nan:1"]]


@given(
    hnp.arrays(
        st.sampled_from(["<f2", "<f8", "i1", "u1", "<i8", "<u8"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements={"min_value": 0, "max_value": 3},
    ),
    st.data(),
)
def test_a_few_of_many_are_the_first_of_all(values: np.ndarray, data: st.DataObject) -> None:
    """They are found in another way, which ties and what is no number must not show."""
    if values.dtype.kind == "f":
        odd = data.draw(hnp.arrays(np.uint8, values.shape, elements=st.integers(0, 4)))
        values = np.select([odd == 1, odd == 2], [np.nan, -np.inf], values).astype(values.dtype)
    elif values.dtype.kind == "i":
        values[values == 2] = np.iinfo(values.dtype).min
    count = data.draw(st.integers(1, values.shape[1]))
    whole = classified(values, values.shape[1])
    assert classified(values, count).tolist() == whole[:, :count].tolist()


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a"], np.object_),
        np.array([True]),
        np.array(1.0),
        np.zeros((MAX_TEXTS, 2), np.float32),
    ],
)
def test_what_cannot_be_classified_is_refused(values: np.ndarray) -> None:
    with pytest.raises(MalformedRequest):
        classified(values, 2)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,)])
def test_nothing_gives_nothing(shape: tuple[int, ...]) -> None:
    assert classified(np.zeros(shape, np.float32), 2).size == 0


def test_the_bounds_are_those_of_all_outputs_together() -> None:
    half = np.zeros((MAX_TEXTS // 2 + 1, 1), np.float32)
    datatypes = {"a": "FP32", "b": "FP32", "c": "FP32"}
    told, kinds = classify({"a": half, "b": half}, datatypes, {"a": 1})
    assert (told["a"].shape, told["b"] is half) == (half.shape, True)
    assert kinds == {**datatypes, "a": "BYTES"}
    with pytest.raises(MalformedRequest, match="fewer"):
        classify({"a": half, "b": half}, datatypes, {"a": 1, "b": 1})
    large = np.zeros((1, MAX_VALUES // 2 + 1), np.float32)
    assert classify({"a": large}, datatypes, {"a": 1})[0]["a"].tolist() == [["0.0:0"]]
    with pytest.raises(MalformedRequest, match="too much"):
        classify({"a": large, "c": large}, datatypes, {"a": 1, "c": 1})
