"""Binary logistic regression in numpy: what a site computes on its own rows.

Parameters are packed as `[w_1 … w_d, b]`. Features are standardised with a mean and a scale that
are the same at every site: given with the run, or agreed by all sites from their sums and sums of
squares, which reveal no row. Everything is float64 and deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.aggregation import Vector
from federated.errors import NotFinite, WrongShape

Matrix = NDArray[np.float64]

SMALLEST_SCALE = 1e-12
"""A feature that varies less than this is constant: it is centred and not scaled."""


@dataclass(frozen=True, slots=True)
class Standardisation:
    """How features are brought to one scale: `(x - mean) / scale`, both of shape (d,)."""

    mean: Vector
    scale: Vector

    def apply(self, features: Matrix) -> Matrix:
        """Return standardised features, shape (n, d)."""
        return (features - self.mean) / self.scale


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a site trains in a round: full-batch gradient descent.

    Attributes:
        epochs: Passes over the site's rows.
        learning_rate: Step, in units of the standardised features.
        l2: Weight of the squared norm of the coefficients (not of the intercept).
    """

    epochs: int
    learning_rate: float
    l2: float


def sums(features: Matrix) -> Vector:
    """Return `[Σx, Σx²]` per feature, shape (2d,): the site's part of the standardisation."""
    return np.concatenate([features.sum(axis=0), np.square(features).sum(axis=0)])


def pooled(totals: Vector, rows: int) -> Standardisation:
    """Return the standardisation over all rows from the added-up `sums`.

    Args:
        totals: `[Σx, Σx²]` over all sites, shape (2d,).
        rows: How many rows they are over.
    """
    mean, square = np.split(totals / rows, 2)
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
    return Standardisation(mean, np.where(deviation < SMALLEST_SCALE, 1.0, deviation))


def train(
    parameters: Vector, features: Matrix, labels: Vector, settings: TrainingSettings
) -> Vector:
    """Return the parameters after the site's epochs, shape (d + 1,).

    Args:
        parameters: The global model, `[w, b]`.
        features: Standardised features, shape (n, d).
        labels: Zeros and ones, shape (n,).
        settings: Epochs and step.

    Raises:
        WrongShape: `parameters` do not fit the features.
        NotFinite: The descent diverged.
    """
    rows, width = features.shape
    if parameters.shape != (width + 1,):
        raise WrongShape
    weights, intercept = parameters[:-1].copy(), float(parameters[-1])
    for _ in range(settings.epochs):
        residual = probabilities(features @ weights + intercept) - labels
        weights -= settings.learning_rate * (features.T @ residual / rows + settings.l2 * weights)
        intercept -= settings.learning_rate * float(residual.mean())
    trained = np.append(weights, intercept)
    if not np.isfinite(trained).all():
        raise NotFinite
    return trained


def evaluate(parameters: Vector, features: Matrix, labels: Vector) -> dict[str, float]:
    """Return `loss` (cross-entropy, nats a row) and `accuracy` (share of rows) of a model."""
    logits = features @ parameters[:-1] + parameters[-1]
    # log(1 + exp(z)) - y z, written so that large |z| neither overflows nor loses the small part.
    losses = np.maximum(logits, 0.0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))
    hits = (logits > 0.0) == (labels > 0.5)
    return {"loss": float(losses.mean()), "accuracy": float(hits.mean())}


def probabilities(logits: Vector) -> Vector:
    """Return the logistic function of `logits` without overflow, same shape."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0.0, 1.0 / (1.0 + small), small / (1.0 + small))
