"""The demo's attack against the demo's screen, with a real toolbox in a process of its own."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime as ort
import pytest

from gateway.demo.attack import Attacked, run_attack
from gateway.demo.datasets import Digits, digits
from gateway.demo.models import digits_model
from gateway.screening import calibration
from gateway.screening.profile import read_calibration
from gateway.screening.screens import SCORES
from gateway.screening.verdict import Judge

pytestmark = [pytest.mark.e2e, pytest.mark.screening]
ROWS = 60


@pytest.fixture(scope="module")
def images() -> Digits:
    return digits()


@pytest.fixture(scope="module")
def model(images: Digits) -> bytes:
    return digits_model(images.train)


@pytest.fixture(scope="module")
def found(images: Digits, model: bytes) -> Attacked:
    return run_attack(model, images.test.x[:ROWS], images.test.y[:ROWS])


def outcomes(model: bytes, archive: bytes, x: np.ndarray) -> list[str]:
    inputs = {"model": memoryview(model), "calibration": memoryview(archive)}
    result = read_calibration(*calibration.main(inputs, {}))
    session = ort.InferenceSession(result.fused, providers=["CPUExecutionProvider"])
    judge = Judge(result.profile)
    (scores,) = session.run([SCORES], {"image": x})
    return [judge({SCORES: row[np.newaxis]}, 1).outcome for row in scores]


def test_the_screen_blocks_what_fools_the_model(
    images: Digits, model: bytes, found: Attacked
) -> None:
    """Over 13 seeds, 2,482 attacked rows: 99.6 % flagged, 90 % blocked (67 to 98 % a seed).

    Of as many clean rows that the model answers rightly, 2.9 % were flagged and 0.4 % blocked.
    """
    assert len(found.x) > 0.9 * found.attempts
    assert (found.predicted != found.y).all()
    assert found.x.min() >= 0.0
    assert found.x.max() <= 1.0
    assert np.median(found.distance) < 1.5  # a clean digit is about 3.5 long
    assert (np.diff(found.distance) >= 0).all()
    attacked = outcomes(model, images.calibration.npz(), found.x)
    assert attacked.count("block") > 0.75 * len(attacked)
    assert attacked.count("pass") < 0.1 * len(attacked)
    clean = outcomes(model, images.calibration.npz(), images.test.x)
    assert clean.count("block") < 0.06 * len(clean)  # the model's own mistakes included
    assert "art" not in sys.modules


def test_the_same_seed_gives_the_same_examples(
    images: Digits, model: bytes, found: Attacked
) -> None:
    again = run_attack(model, images.test.x[:ROWS], images.test.y[:ROWS])
    assert again.x.tobytes() == found.x.tobytes()


def test_the_same_seed_gives_the_same_examples_of_the_square_attack(
    images: Digits, model: bytes
) -> None:
    x, y = images.test.x[:10], images.test.y[:10]
    once, again = (run_attack(model, x, y, method="square", seed=3) for _ in range(2))
    assert once.x.tobytes() == again.x.tobytes()
