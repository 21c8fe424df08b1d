from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from gateway.artifacts.sandbox import Limits, run_sandboxed
from gateway.screening import calibration
from gateway.screening.conformal import binomial_cdf
from gateway.screening.errors import CalibrationRefused
from gateway.screening.profile import Calibrated, read_calibration
from gateway.screening.screens import SCORES
from gateway.screening.verdict import Judge
from tests.gateway.screening.classifiers import CLASSES, Answer, classifier, clouds, npz

MODEL = classifier()


def calibrated(model: bytes, archive: bytes, **args: Any) -> Calibrated:
    inputs = {"model": memoryview(model), "calibration": memoryview(archive)}
    return read_calibration(*calibration.main(inputs, args))


def clean_set(rows: int, seed: int, classes: int = CLASSES) -> bytes:
    x, y = clouds(rows, seed, classes)
    return npz(x=x, y=y)


def refused(model: bytes, archive: bytes, **args: Any) -> str:
    with pytest.raises(CalibrationRefused) as caught:
        calibrated(model, archive, **args)
    return caught.value.reason


def outcomes(result: Calibrated, x: Any) -> list[str]:
    session = ort.InferenceSession(result.fused, providers=["CPUExecutionProvider"])
    scores = session.run([SCORES], {"in": x})[0]
    judge = Judge(result.profile)
    return [judge({SCORES: row[np.newaxis]}, 1).outcome for row in scores]


def test_a_large_set_may_block() -> None:
    profile = calibrated(MODEL, clean_set(1500, seed=1)).profile
    assert profile.enforce
    assert (profile.flag.guarantee, profile.block.guarantee) == ("pac", "pac")
    assert profile.flag.clean.trials <= profile.flag.all.trials == 300
    assert profile.flag.clean.low <= 0.05
    assert 0.95 < profile.accuracy <= 1.0


def test_a_small_set_only_flags_whatever_comes() -> None:
    result = calibrated(MODEL, clean_set(400, seed=1))
    assert not result.profile.enforce
    assert set(outcomes(result, clouds(20, seed=2)[0] + 100.0)) == {"flag"}


def test_just_below_a_thousand_rows_does_not_enforce() -> None:
    assert not calibrated(MODEL, clean_set(999, seed=1)).profile.enforce
    assert calibrated(MODEL, clean_set(1000, seed=1)).profile.enforce


def test_the_smallest_set_still_flags() -> None:
    profile = calibrated(MODEL, clean_set(100, seed=1)).profile
    assert profile.flag.guarantee == "marginal"
    assert profile.block.exceedances == -1


def test_clean_rows_are_blocked_no_more_often_than_stated() -> None:
    """Over calibrations, a bound fails for a share delta of them: count those and test that."""
    seeds, broken = 12, {"flag": 0, "block": 0}
    x, y = clouds(4000, seed=999)
    right = classify(x) == y
    for seed in range(seeds):
        found = np.array(outcomes(calibrated(MODEL, clean_set(1000, seed)), x[right]))
        # 1.25: what 4,000 rows show of a rate may be larger than the rate.
        broken["flag"] += (found != "pass").mean() > 0.05 * 1.25
        broken["block"] += (found == "block").mean() > 0.01 * 1.25
    for count in broken.values():
        assert 1 - binomial_cdf(count - 1, seeds, calibration.DELTA) > 1e-3


def test_the_bound_is_not_met_by_never_flagging() -> None:
    x, _ = clouds(4000, seed=998)
    rates = [
        np.mean([o != "pass" for o in outcomes(calibrated(MODEL, clean_set(1000, s)), x)])
        for s in range(5)
    ]
    assert 0.01 < np.mean(rates) < 0.08


def classify(x: Any) -> Any:
    session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return session.run(None, {"in": x})[0].argmax(axis=1)


def test_inputs_that_are_near_nothing_are_blocked() -> None:
    result = calibrated(MODEL, clean_set(1500, seed=1))
    x, _ = clouds(30, seed=5)
    assert outcomes(result, x + 40.0).count("block") == 30


@pytest.mark.parametrize("answer", ["logits", "label first", "one column", "one logit"])
def test_kinds_of_answers(answer: Answer) -> None:
    classes = 2 if answer.startswith("one") else CLASSES
    profile = calibrated(classifier(answer), clean_set(300, 4, classes)).profile
    assert profile.classes == classes
    assert profile.accuracy > 0.95


def test_the_same_inputs_give_the_same_bytes() -> None:
    once, again = (calibrated(MODEL, clean_set(300, seed=1)) for _ in range(2))
    assert once.profile_bytes == again.profile_bytes
    assert once.fused == again.fused
    other = calibrated(MODEL, clean_set(300, seed=2))
    assert other.profile.calibration != once.profile.calibration


def test_what_is_refused() -> None:
    x, y = clouds(300, seed=1)
    assert refused(b"junk", npz(x=x, y=y)) == "model"
    assert refused(MODEL, b"junk") == "archive"
    assert refused(MODEL, npz(x=x[:, :5], y=y)) == "shape"
    assert refused(MODEL, npz(x=x[:, None], y=y)) == "shape"
    assert refused(MODEL, npz(x=x, y=y + 1)) == "labels"
    assert refused(MODEL, npz(x=x, y=y - 1)) == "labels"
    assert refused(MODEL, npz(x=x, y=(y + 1) % 3)) == "labels_disagree"
    assert refused(MODEL, npz(x=x[y < 2], y=y[y < 2])) == "class_coverage"
    assert refused(MODEL, npz(x=x, y=y), class_output="nothing") == "class_output"
    assert refused(classifier(rows=7), npz(x=x, y=y)) in {"run", "shape"}


def test_labels_of_another_set_are_refused() -> None:
    x, _ = clouds(600, seed=1)
    assert refused(MODEL, npz(x=x, y=clouds(600, seed=2)[1])) == "labels_disagree"


def test_values_that_the_models_type_cannot_hold_are_refused() -> None:
    x, y = clouds(300, seed=1)
    wide = x.astype(np.float64)
    wide[0, 0] = 1e300
    assert refused(MODEL, npz(x=wide, y=y)) == "dtype"


def test_a_number_that_is_not_an_array_of_answers_is_never_taken() -> None:
    with pytest.raises(CalibrationRefused):
        read_calibration({"refused": "made up"}, {})


@pytest.mark.e2e
def test_the_job_runs_confined() -> None:
    archive = clean_set(300, seed=1)
    done = run_sandboxed(
        "gateway.screening.calibration",
        {"model": MODEL, "calibration": archive},
        {},
        limits=Limits(),
    )
    assert read_calibration(done.report, done.outputs).profile.rows == 300
    done = run_sandboxed(
        "gateway.screening.calibration",
        {"model": MODEL, "calibration": b"junk"},
        {},
        limits=Limits(),
    )
    assert done.report == {"refused": "archive"}
