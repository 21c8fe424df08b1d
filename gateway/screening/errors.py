"""The error tree of screening.

ScreeningError
├── CalibrationRefused   the calibration set or the model cannot be calibrated; `reason` is stable
├── ProfileInvalid       the profile's bytes are not a profile
└── ScreenMismatch       a session's screen output does not fit its profile: a fault, not a verdict

A request that breaks its contract is a `ContractFailure`, and a strange one a `Verdict`: values.
"""

from __future__ import annotations

from gateway.errors import SealgateError


class ScreeningError(SealgateError):
    """Base of this package's errors."""

    code = "screening"
    message = "the input could not be screened"


class CalibrationRefused(ScreeningError):
    """The model cannot be given a screen from this calibration set.

    Attributes:
        reason: One of `REFUSALS`; stable, for machines.
        remedy: What the model's owner can do about it.
    """

    code = "calibration_refused"
    message = "the calibration was refused"

    def __init__(self, reason: str) -> None:
        known = reason if reason in REFUSALS else "unknown"
        super().__init__(f"the calibration was refused: {REFUSALS.get(known, 'unknown reason')}")
        self.reason = known
        self.remedy = REMEDIES.get(known, "")


class ProfileInvalid(ScreeningError):
    """The bytes are not a screening profile."""

    code = "profile_invalid"
    message = "the screening profile is not valid"


class ScreenMismatch(ScreeningError):
    """A screen's output is missing or has another shape than its profile says."""

    code = "screen_mismatch"
    message = "the screen did not answer as its profile says"


REFUSALS: dict[str, str] = {
    "archive": "the calibration set is not an npz archive of `x` and `y`",
    "array": "an array of the calibration set is malformed or too large",
    "dtype": "`x` must hold numbers and `y` whole numbers",
    "rows": "`x` and `y` must have the same number of rows, within the limits",
    "not_finite": "`x` holds values that are not finite",
    "model": "the model is not a readable ONNX model of opset 9 or later",
    "inputs": "the model must have exactly one numeric input with rows in its first dimension",
    "shape": "`x` does not fit the model's input",
    "class_output": "the model has no single output with one score a class",
    "classes": "the model has too few or too many classes for a screen",
    "names": "the model uses names that are reserved for the screen",
    "labels": "`y` names a class that the model does not have",
    "labels_disagree": "the model's answers have nothing to do with `y`",
    "class_coverage": "the calibration set has too few rows of a class",
    "run": "the model does not run on the calibration set",
    "fused_mismatch": "the fused model does not reproduce the model or its screen",
    "unknown": "unknown reason",
}

_SAVED = "`numpy.savez('rows.npz', x=x, y=y)` writes one"
_WITHOUT = (
    "push it without `--calibration`: it is then unscreened, and a policy of yours must say that "
    "its answers are released"
)
REMEDIES: dict[str, str] = {
    "archive": f"give an npz archive of `x` and `y` alone; {_SAVED}",
    "array": f"save it again, smaller than 512 MiB; {_SAVED}",
    "dtype": "give `x` as numbers, and `y` as the index of each row's class: 0, 1, …",
    "rows": "give from 100 to 50,000 rows, and one label for each; 1,000 or more may block",
    "not_finite": "leave out rows with missing values",
    "model": "convert it: `sealgate model convert`",
    "inputs": _WITHOUT,
    "shape": "give `x` as the model takes it, one row after the other",
    "class_output": f"export a classifier with its probabilities as a tensor; or {_WITHOUT}",
    "classes": _WITHOUT,
    "names": "rename what begins with `sealgate`",
    "labels": "give the index of each row's class, counted from 0 in the order of its scores",
    "labels_disagree": "look whether rows and labels are in one order and belong to this model",
    "class_coverage": "give more rows, some of each class",
    "run": "give rows that the model runs on",
    "fused_mismatch": f"convert it anew with opset 13 or later; or {_WITHOUT}",
}
"""Reason of a refusal → what can be done about it."""
