from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from federated.aggregation import MAX_ROWS, Contribution, check, digest, weighted_mean
from federated.errors import ContributionRefused, NotFinite, WrongShape
from tests.federated.examples import part

values = st.floats(-1e100, 1e100)
parts = st.lists(
    st.tuples(st.integers(1, MAX_ROWS), st.lists(values, min_size=3, max_size=3)),
    min_size=1,
    max_size=6,
)


def test_rows_are_the_weights() -> None:
    mean = weighted_mean([part("a", 1.0, 0.0, rows=30), part("b", 5.0, 4.0, rows=10)], 2)
    np.testing.assert_array_equal(mean, [2.0, 1.0])


TINIEST = 5e-324
"""The smallest number: a share of it rounds to nothing, or to all of it, for each part."""


@given(parts)
@example([(1, [0.0, TINIEST, -TINIEST])] * 2)
def test_mean_lies_between_its_parts(drawn: list[tuple[int, list[float]]]) -> None:
    given_parts = [part(str(i), *row, rows=rows) for i, (rows, row) in enumerate(drawn)]
    mean = weighted_mean(given_parts, 3)
    table = np.array([row for _, row in drawn])
    slack = 1e-12 * np.abs(table).max(axis=0) + len(drawn) * TINIEST
    assert (mean >= table.min(axis=0) - slack).all()
    assert (mean <= table.max(axis=0) + slack).all()


@given(parts, st.randoms(use_true_random=False))
def test_order_does_not_change_a_bit(drawn: list[tuple[int, list[float]]], random: object) -> None:
    given_parts = [part(str(i), *row, rows=rows) for i, (rows, row) in enumerate(drawn)]
    before = weighted_mean(given_parts, 3)
    random.shuffle(given_parts)  # type: ignore[attr-defined]
    assert digest(weighted_mean(given_parts, 3)) == digest(before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_is_refused(value: float) -> None:
    with pytest.raises(NotFinite):
        check(part("a", 1.0, value), 2)


@pytest.mark.parametrize("vector", [np.zeros(1), np.zeros(3), np.zeros((2, 1)), np.zeros(())])
def test_wrong_shape_is_refused(vector: np.ndarray) -> None:
    with pytest.raises(WrongShape):
        check(Contribution("a", 1, vector), 2)


@pytest.mark.parametrize("rows", [0, -1, MAX_ROWS + 1])
def test_row_count_is_bounded(rows: int) -> None:
    with pytest.raises(ContributionRefused):
        check(part("a", 1.0, rows=rows), 1)


def test_a_bad_part_spoils_no_mean_silently() -> None:
    with pytest.raises(NotFinite):
        weighted_mean([part("a", 1.0), part("b", math.nan)], 1)
    with pytest.raises(ContributionRefused):
        weighted_mean([], 1)
