"""What a tenant may have in a day, and when there is room again. Pure.

A day is the 24 hours before a moment, so room comes back bit by bit, as what was used leaves them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.batch.records import Usage

DAY_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may have in a day, over all its batches that began in it."""

    rows: int
    bytes: int

    def fits(self, used: Usage, length: int) -> bool:
        """Whether a file of `length` bytes may be added; its rows are counted as it is read."""
        return used.rows < self.rows and used.bytes + length <= self.bytes

    def opens(self, usage: Callable[[int], Usage], length: int, now: int) -> int | None:
        """Return the first second at which a file would fit if nothing else were added.

        Seventeen looks find it, however much was used: what was used since a moment only shrinks
        as the moment moves on.

        Args:
            usage: What was used since a second.
            length: Bytes of the file.
            now: Unix seconds; the file does not fit now.

        Returns:
            Unix seconds, after `now`, by a day at most; `None` where it never fits.
        """
        if not self.fits(Usage(), length):
            return None
        shut, fits = now, now + DAY_S + 1  # then everything of now is older than a day
        while fits - shut > 1:
            middle = (shut + fits) // 2
            if self.fits(usage(middle - DAY_S), length):
                fits = middle
            else:
                shut = middle
        return fits
