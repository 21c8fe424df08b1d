"""What a process is given by the world around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Environment:
    """What the world gives: time and randomness.

    Attributes:
        clock: Unix seconds.
        monotonic: Seconds of a clock that is never set back.
        random_bytes: A cryptographic source.
    """

    clock: Callable[[], float]
    monotonic: Callable[[], float]
    random_bytes: Callable[[int], bytes]
