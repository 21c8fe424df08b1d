"""Federated averaging over packed vectors: pure arithmetic, no I/O.

A contribution may enter the mean only when
1. it comes from a site that the round addressed (the caller's part),
2. its vector has exactly the agreed length and is one-dimensional,
3. every value is finite, and so is the mean,
4. its row count is a positive integer within a bound, because the count is the site's weight.

Source: McMahan et al., *Communication-efficient learning of deep networks from decentralized data*
(AISTATS 2017), algorithm 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federated.errors import ContributionRefused, NotFinite, WrongShape

Vector = NDArray[np.float64]

MAX_ROWS = 10**9
"""Rows of one site: more is a mistake or an attempt to own the mean."""

MAX_PARAMETERS = 1_000_000
"""Values in one packed vector (8 MB): one object of the transport, held once a site in memory."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one site gives in one round.

    Attributes:
        site: The site's name.
        rows: Rows it trained on: its weight.
        vector: Packed values, shape (p,), float64.
        metrics: Small numbers about the site's part, e.g. `loss` in nats a row.
    """

    site: str
    rows: int
    vector: Vector
    metrics: Mapping[str, float] = field(default_factory=dict)


def check(contribution: Contribution, length: int) -> None:
    """Refuse a contribution that must not enter the mean.

    Raises:
        WrongShape: The vector does not have `length` values.
        NotFinite: A value is NaN or infinite.
        ContributionRefused: The row count is not a positive integer within `MAX_ROWS`.
    """
    if contribution.vector.shape != (length,):
        raise WrongShape
    if not np.isfinite(contribution.vector).all():
        raise NotFinite
    if not 0 < contribution.rows <= MAX_ROWS:
        raise ContributionRefused("the row count is out of bounds")


def weighted_mean(contributions: Iterable[Contribution], length: int) -> Vector:
    """Return the mean of the vectors, weighted by rows; shape (length,), float64.

    The order of arrival does not matter: sites are added up by name, so that the same parts give
    the same bits.

    Raises:
        ContributionRefused: One of them does not pass `check`, or there is none.
        NotFinite: The mean overflows.
    """
    parts = sorted(contributions, key=lambda part: part.site)
    if not parts:
        raise ContributionRefused("there is nothing to average")
    for part in parts:
        check(part, length)
    total = sum(part.rows for part in parts)
    mean = np.zeros(length, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in parts:
            mean += part.vector * (part.rows / total)
    if not np.isfinite(mean).all():
        raise NotFinite
    return mean


def digest(vector: Vector) -> str:
    """Return the SHA-256 of the packed little-endian float64 bytes, lowercase hex."""
    return hashlib.sha256(vector.astype("<f8").tobytes()).hexdigest()
