from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.conformal import (
    binomial_cdf,
    clopper_pearson,
    marginal_exceedances,
    pac_exceedances,
)


@given(st.integers(1, 400), st.data(), st.floats(0.001, 0.999))
def test_binomial_distribution(trials: int, data: st.DataObject, rate: float) -> None:
    from scipy import stats  # here: it takes as long to import as all else of these tests

    count = data.draw(st.integers(-1, trials))
    expected = float(stats.binom.cdf(count, trials, rate))
    assert binomial_cdf(count, trials, rate) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 300), st.data())
def test_interval_is_that_of_the_beta_distribution(trials: int, data: st.DataObject) -> None:
    from scipy import stats

    count = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(count, trials)
    wanted_low = stats.beta.ppf(0.025, count, trials - count + 1) if count else 0.0
    wanted_high = stats.beta.ppf(0.975, count + 1, trials - count) if count < trials else 1.0
    assert low == pytest.approx(wanted_low, abs=1e-7)
    assert high == pytest.approx(wanted_high, abs=1e-7)


def test_an_interval_without_trials_knows_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "alpha", "allowed"),
    [
        (298, 0.01, None),
        (299, 0.01, 0),
        (472, 0.01, 0),
        (473, 0.01, 1),
        (58, 0.05, None),
        (59, 0.05, 0),
    ],
)
def test_where_the_pac_guarantee_starts(rows: int, alpha: float, allowed: int | None) -> None:
    assert pac_exceedances(rows, alpha, 0.05) == allowed


@pytest.mark.parametrize(
    ("rows", "alpha", "allowed"), [(18, 0.05, None), (19, 0.05, 0), (39, 0.05, 1), (99, 0.01, 0)]
)
def test_where_the_marginal_guarantee_starts(rows: int, alpha: float, allowed: int | None) -> None:
    assert marginal_exceedances(rows, alpha) == allowed


@pytest.mark.parametrize(("rows", "alpha"), [(500, 0.01), (200, 0.05)])
def test_pac_holds_in_all_but_a_share_delta_of_calibrations(rows: int, alpha: float) -> None:
    allowed = pac_exceedances(rows, alpha, 0.05)
    assert allowed is not None
    uniform = np.sort(np.random.default_rng(0).random((4000, rows)), axis=1)
    true_rates = 1.0 - uniform[:, rows - 1 - allowed]
    broken = (true_rates > alpha).mean()
    assert 0.005 < broken < 0.065  # 0.05 at most, and not by being useless; margin: 4 deviations


def test_marginal_holds_on_average() -> None:
    allowed = marginal_exceedances(120, 0.05)
    assert allowed is not None
    uniform = np.sort(np.random.default_rng(1).random((4000, 120)), axis=1)
    assert 0.03 < (1.0 - uniform[:, 119 - allowed]).mean() < 0.052
