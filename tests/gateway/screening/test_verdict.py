from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.screening.errors import ScreenMismatch
from gateway.screening.profile import Threshold
from gateway.screening.screens import SCORES
from gateway.screening.verdict import UNSCREENED, Judge, judge
from tests.gateway.screening.test_profile import RATE, profile

# Strangeness 0 to 399; flagged above 386 (13 above it), blocked above 399.
JUDGE = Judge(profile())


def scores(*strangeness: float) -> dict[str, np.ndarray]:
    """Rows whose first screen alone makes the wanted strangeness."""
    table = np.zeros((len(strangeness), 4), np.float32)
    table[:, 0] = np.sqrt(np.array(strangeness))
    return {SCORES: table}


def test_outcomes() -> None:
    assert JUDGE(scores(0.0), 1).outcome == "pass"
    assert JUDGE(scores(385.9), 1).outcome == "pass"
    assert JUDGE(scores(386.5), 1).outcome == "flag"
    assert JUDGE(scores(398.5), 1).outcome == "flag"
    assert JUDGE(scores(400.0), 1).outcome == "block"


def test_buckets_rules_and_techniques() -> None:
    blocked = JUDGE(scores(500.0), 1)
    assert blocked.bucket == "p<0.01"
    assert blocked.rules == ("screen.trust",)
    assert blocked.atlas == ("AML.T0015", "AML.T0043")
    assert JUDGE(scores(390.0), 1).bucket == "p<0.05"
    passed = JUDGE(scores(1.0), 1)
    assert (passed.bucket, passed.rules, passed.atlas, passed.rows) == ("p>=0.05", (), (), ())


def test_a_finding_of_no_single_screen_is_called_combined() -> None:
    lenient = Judge(profile(warning=(99.0, 99.0, 99.0, 99.0)))
    assert lenient(scores(390.0), 1).rules == ("screen.combined",)


def test_an_attacked_row_cannot_hide_among_clean_ones() -> None:
    many = scores(*([1.0] * 62), 390.0, 450.0)
    verdict = JUDGE(many, 64)
    assert verdict.outcome == "block"
    assert verdict.rows == (63,)


def test_without_the_right_to_enforce_the_strongest_is_a_flag() -> None:
    assert Judge(profile(enforce=False))(scores(9999.0), 1).outcome == "flag"


def test_a_set_too_small_for_a_level_never_reaches_it() -> None:
    small = profile(enforce=False, block=Threshold(0.01, -1, "none", RATE, RATE))
    verdict = Judge(small)(scores(9999.0), 1)
    assert (verdict.outcome, verdict.bucket) == ("flag", "p<0.05")


def test_not_a_number_is_blocked() -> None:
    assert JUDGE(scores(float("nan")), 1).outcome == "block"
    assert JUDGE(scores(float("inf")), 1).outcome == "block"


def test_no_profile_is_unscreened() -> None:
    assert judge(None, {}, 1) is UNSCREENED
    assert judge(profile(), scores(1.0), 1).outcome == "pass"


@pytest.mark.parametrize(
    ("outputs", "rows"),
    [({}, 1), (scores(1.0, 1.0), 1), (scores(1.0), 2), ({SCORES: np.zeros((1, 3))}, 1), ({}, 0)],
)
def test_scores_that_do_not_fit_are_a_fault(outputs: dict[str, np.ndarray], rows: int) -> None:
    with pytest.raises(ScreenMismatch):
        JUDGE(outputs, rows)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(4))))
def test_a_verdict_counts_as_its_thresholds_say(table: np.ndarray) -> None:
    calibration = np.array(profile().scores)
    verdict = JUDGE({SCORES: table}, len(table))
    with np.errstate(over="ignore"):
        squares = np.square(table.astype(np.float64)).sum(axis=1)
    above = [0 if np.isnan(s) else int((calibration >= s).sum()) for s in squares]
    fewest = min(above)
    expected = "block" if fewest <= 0 else "flag" if fewest <= 13 else "pass"
    assert verdict.outcome == expected
