"""From a screen's scores to a verdict. Pure.

Safety argument:
1. A score that is not a number or is beyond all others counts as stranger than every calibration
   row; a screen output that is missing or misshapen is a fault, never a pass.
2. A request is judged by its strangest row, so that an attacked row cannot hide among clean ones.
   The stated rate of false alarms is therefore one a *row*: large batches are flagged more often.
3. Blocking needs a profile that may enforce; without one the strongest verdict is a flag.
4. No score leaves: a verdict has a bucket and names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.screening.errors import ScreenMismatch
from gateway.screening.profile import Profile
from gateway.screening.screens import SCORES, strangeness, strangeness_of_row

# MITRE ATLAS: evade an AI model; craft adversarial data.
ATLAS: Final = ("AML.T0015", "AML.T0043")

Outcome: TypeAlias = Literal["pass", "flag", "degrade", "block", "unscreened"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the screen says of one request.

    Attributes:
        outcome: `unscreened` when the model has no profile: policy refuses or allows that.
        bucket: Of the p-value of the strangest row, such as `p<0.01`; empty when unscreened.
        rules: Which screens fired on strange rows, such as `screen.trust`.
        atlas: MITRE ATLAS techniques that the finding points at.
        rows: The strange rows, from 0: those to blame for the outcome.
    """

    outcome: Outcome
    bucket: str = ""
    rules: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()


UNSCREENED: Final = Verdict("unscreened")


class Judge:
    """A profile made ready to judge by: the counting is done once, here."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._flag = _least_strange(profile, profile.flag.exceedances)
        self._block = _least_strange(profile, profile.block.exceedances)
        self._warning = np.asarray(profile.warning)
        self._pass = Verdict("pass", f"p>={profile.flag.alpha:g}")

    def __call__(self, outputs: Mapping[str, NDArray[Any]], rows: int) -> Verdict:
        """Judge a request of `rows` rows by the outputs of its fused run.

        Args:
            outputs: At least the output `SCORES`, float32, (rows, screens).
            rows: How many rows the request had.

        Raises:
            ScreenMismatch: The scores are missing or have another shape.
        """
        scores = outputs.get(SCORES)
        if scores is None or scores.shape != (rows, len(self._warning)) or rows < 1:
            raise ScreenMismatch
        if rows == 1 and strangeness_of_row(scores[0].tolist()) <= self._flag:
            return self._pass
        total = strangeness(scores)
        worst = float(total.max())
        if worst <= self._flag:
            return self._pass
        profile = self.profile
        strange = worst > self._block
        alpha = profile.block.alpha if strange else profile.flag.alpha
        blamed = np.flatnonzero(total > (self._block if strange else self._flag))
        fired = ~(scores[blamed] <= self._warning)
        names = [name for name, hits in zip(profile.screens, fired.T, strict=True) if hits.any()]
        return Verdict(
            outcome="block" if strange and profile.enforce else "flag",
            bucket=f"p<{alpha:g}",
            rules=tuple(f"screen.{name}" for name in names or ["combined"]),
            atlas=ATLAS,
            rows=tuple(blamed.tolist()),
        )


def judge(profile: Profile | None, outputs: Mapping[str, NDArray[Any]], rows: int) -> Verdict:
    """Judge by a profile, or find that there is none."""
    return UNSCREENED if profile is None else Judge(profile)(outputs, rows)


def _least_strange(profile: Profile, exceedances: int) -> float:
    """The score above which at most `exceedances` calibration scores are at or above."""
    if exceedances < 0:
        return float("inf")
    return profile.scores[len(profile.scores) - 1 - exceedances]
