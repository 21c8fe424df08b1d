from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.conversion.comparing import check, compare
from gateway.conversion.request import TOLERANCE, Compared, Stuck


def compared(before: Any, after: Any) -> Compared:
    one = compare("y", np.array(before), np.array(after), TOLERANCE)
    assert one is not None
    return one


def test_numbers_may_be_apart_by_what_float32_cannot_hold() -> None:
    x = np.array([[0.1, 1e6], [3e-9, -2.0]])
    one = compared(x, x.astype(np.float32))
    assert (one.rows, one.differing) == (2, 0)
    assert 0 < one.largest < 0.1


def test_a_row_differs_when_one_of_its_numbers_does() -> None:
    one = compared([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.001], [0.0, 0.0]])
    assert one.differing == 1
    assert one.largest == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("before", "after"),
    [(["a", "b"], [b"a", b"b"]), ([True, False], [1, 0]), ([1.0, 2.0], [1, 2]), ([3], ["3"])],
)
def test_labels_are_the_same_in_another_type(before: list[Any], after: list[Any]) -> None:
    assert compared(before, after).differing == 0


@pytest.mark.parametrize(("before", "after"), [(["a"], ["b"]), ([1], [2]), ([True], [0])])
def test_labels_are_the_same_or_they_are_not(before: list[Any], after: list[Any]) -> None:
    assert compared(before, after).differing == 1


def test_what_is_no_number_in_both_is_the_same_and_in_one_is_not() -> None:
    assert compared([[np.nan], [np.inf]], [[np.nan], [np.inf]]).differing == 0
    assert compared([[np.nan], [1.0]], [[1.0], [np.inf]]).differing == 2


def test_the_one_score_of_two_classes_is_that_of_the_second() -> None:
    assert compared([0.5, -0.2], [[-0.5, 0.5], [0.2, -0.2]]).differing == 0
    assert compared([0.5, -0.2], [[0.5, -0.5], [-0.2, 0.2]]).differing == 2, "columns in turn"


def test_shapes_that_have_nothing_in_common_are_not_compared() -> None:
    assert compare("y", np.zeros((2, 3)), np.zeros((2, 4)), TOLERANCE) is None
    assert compare("y", np.zeros((2, 3)), np.zeros((3, 3)), TOLERANCE) is None


def test_a_conversion_that_changes_answers_is_refused_unless_so_many_rows_may_differ() -> None:
    some = (Compared(output="y", rows=100, differing=3, largest=0.5),)
    with pytest.raises(Stuck, match=r"differs in 3 of 100 rows by up to 0\.5") as stuck:
        check(some, TOLERANCE, 0.0)
    assert "--differing" in stuck.value.remedy
    check(some, TOLERANCE, 0.03)
