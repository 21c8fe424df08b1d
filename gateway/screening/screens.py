"""The screens themselves: how strange an input is, given what the model answered. Pure.

Four screens, each a number a row, larger for stranger:

- `trust`: how far the nearest reference of the predicted class is, against that of another class.
- `residual`: how much of the input lies outside the principal directions of clean inputs, and how
  far it is beyond the reach of all references.
- `opinion`: by how much a second, independent classifier prefers another class.
- `margin`: how close the model itself was to another class.

Each is brought to one scale by the scores of clean rows (0 is the median, 1 the 95th percentile),
and the squares are added: `strangeness`. That sum is one fixed function of the row, so that *one*
conformal threshold on it needs no correction for four tests (see `conformal`): a bad choice of
scales costs detections, never the bound on false alarms.

This is the reference in double precision; `fused_graph` compiles the same into a model's graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.screening.reference import Floats, Reference, fit_reference, negative_squared_distances

ScoreKind: TypeAlias = Literal["probabilities", "logits"]

# Names that the screen adds to a model's graph start with this.
PREFIX: Final = "sealgate.screen."
# The output with the scores: a row a row, a column a screen. One output costs less than four.
SCORES: Final = PREFIX + "scores"
SCORES_DATATYPE: Final = "FP32"
SCREENS: Final = ("trust", "residual", "opinion", "margin")
# Scaled scores end here: beyond any clean row, and small enough to be squared and added.
MAX_SCORE: Final = 100.0
# A distance ratio, a residual and a probability below these say nothing more.
TINY_RATIO: Final = 1e-6
TINY_RESIDUAL: Final = 1e-5
TINY_PROBABILITY: Final = 1e-7
FAR: Final = 1e9
# Clean scores that hardly spread (a residual when the basis spans all) must not be blown up.
_MIN_SPREAD: Final = 0.05
_FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class Scales:
    """Centre and inverse spread of each screen's raw scores, both (4,)."""

    centre: Floats
    inverse_spread: Floats


def two_columns(scores: Floats, kind: ScoreKind) -> Floats:
    """Give a binary model's single score a column for either class."""
    column = scores.reshape(len(scores), -1).astype(np.float64)
    if column.shape[1] > 1:
        return column
    return np.hstack([1.0 - column if kind == "probabilities" else np.zeros_like(column), column])


def raw_scores(
    reference: Reference, x: NDArray[np.float32], class_scores: Floats, kind: ScoreKind
) -> Floats:
    """Score rows.

    Args:
        reference: Fitted on other rows.
        x: Model inputs, (rows, …).
        class_scores: What the model answered, (rows, C).
        kind: Whether those are probabilities or logits.

    Returns:
        One column a screen, in the order of `SCREENS`, (rows, 4).
    """
    rows = np.arange(len(x))
    predicted = class_scores.argmax(axis=1)
    features = (x.reshape(len(x), -1).astype(np.float64) - reference.mean) * reference.inverse_scale
    coordinates = features @ reference.basis
    closeness = negative_squared_distances(coordinates, reference.points, reference.offsets)
    nearest = np.abs(closeness.reshape(len(x), reference.classes, -1).max(axis=2))
    beyond = np.maximum(nearest.min(axis=1) - reference.reach, 0.0)
    own = nearest[rows, predicted]
    nearest[rows, predicted] = FAR
    trust = np.log(np.maximum(own / (nearest.min(axis=1) + TINY_RATIO), TINY_RATIO))
    left_over = features - coordinates @ reference.basis.T
    residual = np.log((left_over**2).sum(axis=1) + beyond + TINY_RESIDUAL)
    votes = np.exp(closeness) @ reference.weights
    backed = votes[rows, predicted]
    votes[rows, predicted] = -FAR
    opinion = votes.max(axis=1) - backed
    best = np.sort(class_scores, axis=1)[:, -2:].astype(np.float64)
    if kind == "probabilities":
        best = np.log(np.maximum(best, TINY_PROBABILITY))
    return np.stack([trust, residual, opinion, best[:, 0] - best[:, 1]], axis=1)


def fit_scales(
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    class_scores: Floats,
    kind: ScoreKind,
) -> Scales:
    """Find each screen's scale by fitting on four fifths of the fit part and scoring the rest.

    Args:
        x: Fit part, (rows, …), in random order.
        y: Its classes, (rows,).
        class_scores: What the model answered, (rows, C). Rows that it got wrong are left out.
        kind: Whether those are probabilities or logits.
    """
    fold = np.arange(len(x)) % _FOLDS
    right = class_scores.argmax(axis=1) == y
    parts = []
    for held in range(_FOLDS):
        rest, scored = fold != held, (fold == held) & right
        reference = fit_reference(x[rest], y[rest], class_scores.shape[1])
        parts.append(raw_scores(reference, x[scored], class_scores[scored], kind))
    clean = np.concatenate(parts)
    if len(clean) == 0:
        return Scales(np.zeros(len(SCREENS)), np.ones(len(SCREENS)))
    centre = np.median(clean, axis=0)
    spread = np.maximum(np.quantile(clean, 0.95, axis=0) - centre, _MIN_SPREAD)
    return Scales(centre, np.asarray(1.0 / spread, dtype=np.float64))


def scaled_scores(raw: Floats, scales: Scales) -> Floats:
    """Bring raw scores to one scale, from 0 to `MAX_SCORE`; what is not a number is strangest."""
    scaled = (raw - scales.centre) * scales.inverse_spread
    clipped = np.clip(scaled, 0.0, MAX_SCORE)
    return np.where(np.isnan(scaled), MAX_SCORE, clipped)


def strangeness(scaled: NDArray[np.float32] | Floats) -> Floats:
    """Add the squares of the scaled scores: (rows, 4) to (rows,). Not a number counts as most."""
    scores = np.asarray(scaled, dtype=np.float64)
    total = np.square(scores).sum(axis=1)
    return np.where(np.isnan(total), np.inf, total)


def strangeness_of_row(scaled: Sequence[float]) -> float:
    """Do what `strangeness` does for one row, in a tenth of the time."""
    total = sum(score * score for score in scaled)
    return total if total == total else math.inf  # not a number
