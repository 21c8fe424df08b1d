from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.inference.classification import MAX_TEXTS, classified
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
