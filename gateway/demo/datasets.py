"""The demo's data: scikit-learn's bundled sets, split without a download.

- `hospitals`: breast_cancer over three hospitals that differ in size and in how many of their
  patients are ill, with held-out sets for calibration and test.
- `digits`: 8x8 digits for images. Training rows are multiplied by small shifts, turns and noise;
  calibration and test rows are left as they are, because a screen's bound on false alarms holds
  only for calibration rows that are drawn like live ones and do not depend on each other.
- `read_idx`: MNIST's file format, for evaluation on files that the reader has.

Every split is disjoint and the same for the same seed.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]

SEED: Final = 0
TRAINING_DIGITS: Final = 297
# Enough for the screen to block (1,000), and two fifths of it for the second-largest score to be
# the threshold at 1 % (473 rows answered rightly).
CALIBRATION_DIGITS: Final = 1_300
COPIES: Final = 15
_GREYS: Final = 16.0

# The share of all training patients, and the share of malignant findings, at each hospital.
HOSPITALS: Final = {"north": (0.5, 0.30), "harbour": (0.3, 0.65), "valley": (0.2, 0.12)}
_CALIBRATION_PATIENTS: Final = 150
_TEST_PATIENTS: Final = 100
_IDX_LIMIT: Final = 64 << 20  # MNIST's 60,000 images are 45 MiB


@dataclass(frozen=True, slots=True)
class Split:
    """Inputs, (rows, …), and the class index of each."""

    x: Rows
    y: Labels

    def npz(self) -> bytes:
        """The same as npz bytes, as a calibration set is uploaded."""
        buffer = io.BytesIO()
        np.savez(buffer, x=self.x, y=self.y)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Digits:
    """Images of (rows, 1, 8, 8) from 0 to 1."""

    train: Split
    calibration: Split
    test: Split


@dataclass(frozen=True, slots=True)
class Hospitals:
    """Patients of (rows, 30) in the set's own units; class 1 is malignant."""

    sites: dict[str, Split]
    calibration: Split
    test: Split


def digits(seed: int = SEED) -> Digits:
    """Split the 1,797 digits into 297 to train on (16 times that with copies), 1,300 and 200."""
    from sklearn.datasets import load_digits  # with pandas and SciPy it takes over a second

    bunch = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(bunch.target))
    images = (bunch.images[order] / _GREYS).astype(np.float32)[:, np.newaxis]
    labels = bunch.target[order].astype(np.int64)
    first, second = TRAINING_DIGITS, TRAINING_DIGITS + CALIBRATION_DIGITS
    copies = [_moved(images[:first], rng) for _ in range(COPIES)]
    return Digits(
        train=Split(np.concatenate([images[:first], *copies]), np.tile(labels[:first], COPIES + 1)),
        calibration=Split(images[first:second], labels[first:second]),
        test=Split(images[second:], labels[second:]),
    )


def _moved(images: Rows, rng: np.random.Generator) -> Rows:
    """Turn each image by up to 12 degrees, shift it by up to 0.7 pixels and add a little noise."""
    count, _, height, width = images.shape
    turn = np.deg2rad(rng.uniform(-12.0, 12.0, (count, 1, 1)))
    down, right = rng.uniform(-0.7, 0.7, (2, count, 1, 1))
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y - (height - 1) / 2 - down, x - (width - 1) / 2 - right
    from_y = y * np.cos(turn) - x * np.sin(turn) + (height - 1) / 2
    from_x = y * np.sin(turn) + x * np.cos(turn) + (width - 1) / 2
    moved = _sampled(images[:, 0], from_y, from_x)
    noisy = moved + rng.normal(0.0, 0.03, moved.shape)
    return np.clip(noisy, 0.0, 1.0).astype(np.float32)[:, np.newaxis]


def _sampled(images: Rows, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read images at fractional places, bilinearly, with black around them."""
    border = 2
    padded = np.pad(images, ((0, 0), (border, border), (border, border)))
    y = np.clip(y + border, 0.0, padded.shape[1] - 1.001)
    x = np.clip(x + border, 0.0, padded.shape[2] - 1.001)
    top, left = y.astype(int), x.astype(int)
    image = np.arange(len(images))[:, np.newaxis, np.newaxis]
    lower, further = y - top, x - left
    upper_row = padded[image, top, left] * (1 - further) + padded[image, top, left + 1] * further
    lower_row = (
        padded[image, top + 1, left] * (1 - further) + padded[image, top + 1, left + 1] * further
    )
    return np.asarray(upper_row * (1 - lower) + lower_row * lower, dtype=np.float64)


def hospitals(seed: int = SEED) -> Hospitals:
    """Split the 569 patients: 150 to calibrate, 100 to test, the others over three hospitals."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    x = bunch.data[order].astype(np.float32)
    y = (1 - bunch.target[order]).astype(np.int64)  # the bunch has 0 for malignant
    first, second = _CALIBRATION_PATIENTS, _CALIBRATION_PATIENTS + _TEST_PATIENTS
    ill = list(np.flatnonzero(y[second:] == 1) + second)
    well = list(np.flatnonzero(y[second:] == 0) + second)
    patients = len(y) - second
    sites = {}
    for name, (share, malignant) in HOSPITALS.items():
        size = int(share * patients)
        with_finding = min(len(ill), int(size * malignant))
        taken = np.array(sorted(ill[:with_finding] + well[: size - with_finding]))
        del ill[:with_finding], well[: size - with_finding]
        sites[name] = Split(x[taken], y[taken])
    return Hospitals(
        sites=sites,
        calibration=Split(x[:first], y[:first]),
        test=Split(x[first:second], y[first:second]),
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one of MNIST's gzipped idx files of bytes.

    Source: LeCun et al., "The MNIST database", file formats.

    Raises:
        ValueError: It is something else, or larger than MNIST.
    """
    with gzip.open(path) as file:
        data = file.read(_IDX_LIMIT + 1)
    if len(data) > _IDX_LIMIT or data[:3] != b"\x00\x00\x08":
        raise ValueError("not an idx file of bytes")
    start = 4 + 4 * data[3]
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    if math.prod(sizes) != len(data) - start:
        raise ValueError("an idx file of another length than it says")
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def mnist(images: Path, labels: Path) -> Split:
    """Read MNIST as (rows, 1, 28, 28) from 0 to 1."""
    pixels: NDArray[Any] = read_idx(images)
    x = (pixels / 255.0).astype(np.float32)[:, np.newaxis]
    return Split(x, read_idx(labels).astype(np.int64))
