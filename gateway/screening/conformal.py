"""Split conformal thresholds with a guarantee for the one calibration at hand. Pure.

Safety argument. Let S1…Sn be the scores of calibration rows that nothing else was fitted on, and S
the score of a clean live row, all drawn alike. S is called strange when at most m of the Si are at
or above it.
1. *Marginal.* That has probability at most (m + 1) / (n + 1), over calibrations and inputs together
   (Vovk et al. 2005, "Algorithmic Learning in a Random World").
2. *PAC.* For the one calibration at hand, the rate of strange clean rows is at most a
   Beta(m + 1, n - m) variable, so it is at most alpha unless Bin(n, alpha) ≤ m happened. With m
   such that this has probability delta or less, the rate is at most alpha in all but a share
   delta of calibrations (Vovk 2012, "Conditional validity of inductive conformal predictors").
3. Ties only lower the rate, as a row must exceed a calibration score not to be counted by it.
So a threshold is a number of calibration rows, and a verdict counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_BISECTIONS: Final = 60  # halves [0, 1] down to the precision of a double


def binomial_cdf(count: int, trials: int, rate: float) -> float:
    """P(Bin(`trials`, `rate`) ≤ `count`), summed in logarithms."""
    if count < 0:
        return 0.0
    if count >= trials or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(trials + 1)
    terms = (
        whole
        - math.lgamma(hits + 1)
        - math.lgamma(trials - hits + 1)
        + hits * log_rate
        + (trials - hits) * log_rest
        for hits in range(count + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def pac_exceedances(rows: int, alpha: float, delta: float) -> int | None:
    """How many calibration rows may be at or above a score that is called strange (claim 2).

    Args:
        rows: Calibration scores, n.
        alpha: Largest rate of clean rows called strange.
        delta: Share of calibrations in which that rate may be larger.

    Returns:
        The largest m with P(Bin(n, alpha) ≤ m) ≤ delta, or None when n is too small even for m = 0.
    """
    allowed = None
    for exceedances in range(rows):
        if binomial_cdf(exceedances, rows, alpha) > delta:
            break
        allowed = exceedances
    return allowed


def marginal_exceedances(rows: int, alpha: float) -> int | None:
    """The same by claim 1: the largest m with (m + 1) / (n + 1) ≤ alpha, or None."""
    allowed = math.floor(alpha * (rows + 1) + 1e-9) - 1
    return allowed if allowed >= 0 else None


def clopper_pearson(count: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided confidence interval of a rate of which `count` in `trials` were seen.

    Source: Clopper and Pearson 1934, solved by bisection on the binomial distribution.
    """
    if trials == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    # P(X ≥ count) rises with the rate; P(X ≤ count) falls with it.
    low = 0.0 if count == 0 else _crossing(lambda p: 1 - binomial_cdf(count - 1, trials, p) > tail)
    high = 1.0 if count == trials else _crossing(lambda p: binomial_cdf(count, trials, p) <= tail)
    return low, high


def _crossing(beyond: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2
