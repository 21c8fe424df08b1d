"""The profile: what a calibration measured and decided, as bytes and back. Pure.

A profile holds for one model and says so by digest; a new version of the model voids it. It holds
scores, never rows, but is a secret all the same: it tells an attacker where the thresholds are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

import msgspec

from gateway.screening.errors import CalibrationRefused, ProfileInvalid
from gateway.screening.screens import SCREENS

CODE_VERSION: Final = "sealgate-screen/1"
# The largest set gives this many scores times nine bytes or so, well under half a megabyte.
MAX_SCORES: Final = 20_000
MAX_PROFILE_BYTES: Final = 2 << 20

Guarantee: TypeAlias = Literal["pac", "marginal", "none"]


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often something was seen, with an exact 95 % interval (Clopper and Pearson)."""

    count: int
    trials: int
    low: float
    high: float


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a row counts as strange at level `alpha`.

    Attributes:
        alpha: The rate of clean rows that may be called strange.
        exceedances: So many calibration scores, at most, may be at or above the row's score;
            -1 when the set was too small for this level.
        guarantee: `pac`: the rate holds for this very calibration with probability 1 - delta;
            `marginal`: on average over calibrations; `none`: too few rows, never strange.
        clean: Measured on rows set aside that the model answered rightly.
        all: Measured on all rows set aside, its mistakes included.
    """

    alpha: float
    exceedances: int
    guarantee: Guarantee
    clean: Rate
    all: Rate


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the input, seen in the calibration set and widened: one pair, or one a column."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A calibrated screen.

    Attributes:
        code: Version of the code that made it.
        model: SHA-256 of the plain model, hex.
        calibration: SHA-256 of the calibration set, hex.
        rows: Of the calibration set.
        accuracy: Share of them that the model answered rightly.
        classes: Number of classes.
        screens: Names of the columns of the screen's output, in order.
        warning: Per screen, the scaled score that counts as its having fired.
        scores: Strangeness of the threshold rows, rising.
        delta: Share of calibrations for which a `pac` guarantee may fail.
        flag: Threshold from which a row is flagged.
        block: Threshold from which it is blocked, if `enforce`.
        enforce: The set was large enough to block by.
        range: Observed bounds of the input.
    """

    code: str
    model: str
    calibration: str
    rows: int
    accuracy: float
    classes: int
    screens: tuple[str, ...]
    warning: tuple[float, ...]
    scores: tuple[float, ...]
    delta: float
    flag: Threshold
    block: Threshold
    enforce: bool
    range: Range


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a calibration job returned: the profile, its bytes, and the fused model's bytes."""

    profile: Profile
    profile_bytes: bytes
    fused: bytes


def encode_profile(profile: Profile) -> bytes:
    """Render a profile as canonical JSON (sorted keys)."""
    return msgspec.json.encode(profile, order="sorted")


def decode_profile(data: bytes | bytearray | memoryview) -> Profile:
    """Read a profile.

    Raises:
        ProfileInvalid: For anything that `encode_profile` would not have written.
    """
    if len(data) > MAX_PROFILE_BYTES:
        raise ProfileInvalid
    try:
        profile = msgspec.json.decode(data, type=Profile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileInvalid from error
    if not _consistent(profile):
        raise ProfileInvalid
    return profile


def _consistent(profile: Profile) -> bool:
    numbers = (*profile.scores, *profile.warning, *profile.range.low, *profile.range.high)
    scores, thresholds = profile.scores, (profile.flag, profile.block)
    return (
        profile.code == CODE_VERSION
        and profile.screens == SCREENS
        and len(profile.warning) == len(SCREENS)
        and 0 < len(scores) <= MAX_SCORES
        and all(math.isfinite(number) for number in numbers)
        and all(before <= after for before, after in pairwise(scores))
        and all(-1 <= t.exceedances < len(scores) and 0 < t.alpha < 1 for t in thresholds)
        and profile.block.alpha < profile.flag.alpha
        and profile.block.exceedances <= profile.flag.exceedances
        and profile.flag.exceedances >= 0
        and (not profile.enforce or profile.block.guarantee == "pac")
        and len(profile.range.low) == len(profile.range.high) > 0
    )


def read_calibration(report: Mapping[str, Any], outputs: Mapping[str, bytes]) -> Calibrated:
    """Read what the job `gateway.screening.calibration` returned.

    Raises:
        CalibrationRefused: The job refused the set or the model.
        ProfileInvalid: It returned something else than it promises.
    """
    reason = report.get("refused")
    if reason is not None:
        raise CalibrationRefused(str(reason))
    if set(outputs) != {"fused", "profile"}:
        raise ProfileInvalid
    profile = decode_profile(outputs["profile"])
    return Calibrated(profile, outputs["profile"], outputs["fused"])
