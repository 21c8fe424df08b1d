from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.inference.bfloat16 import finite, from_float64, to_float32

LARGEST = 3.3895313892515355e38
HALF_BEYOND = 2.0**128 - 2.0**119
"""Where the nearest value would be the one after the largest, were there one."""


def value_of(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits << 16))[0])


def nearest(value: float) -> int:
    """The nearest of the two neighbours, ties to even, in exact arithmetic."""
    below = struct.unpack("<I", struct.pack("<f", min(abs(value), LARGEST)))[0] >> 16
    while value_of(below) > abs(value):
        below -= 1
    exact = Fraction(abs(value))
    down = exact - Fraction(value_of(below))
    up = Fraction(value_of(below + 1)) - exact if below < 0x7F7F else Fraction(2) ** 120 - down
    chosen = below if (down, below & 1) < (up, 1 - (below & 1)) else below + 1
    return int(chosen) | (0x8000 if math.copysign(1, value) < 0 else 0)


@given(st.floats(allow_nan=False, allow_infinity=False, max_value=3.39e38, min_value=-3.39e38))
@example(1.00390625)  # halfway
@example(1.00390625 + 2**-40)  # float32 makes it halfway
@example(1.01171875 - 2**-40)
@example(1e-45)
@example(-1e-320)
@example(5e-41)
@example(LARGEST)
def test_a_number_becomes_its_nearest_neighbour(value: float) -> None:
    assert int(from_float64(np.array([value]))[0]) == nearest(value)


def test_every_value_survives() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[finite(bits)]
    np.testing.assert_array_equal(from_float64(to_float32(bits).astype(np.float64)), bits)
    assert len(bits) == (1 << 16) - 2 * 128


@pytest.mark.parametrize("value", [HALF_BEYOND, 3.4e38, -1e39, 1e300])
def test_what_is_too_large_does_not_become_infinite(value: float) -> None:
    with pytest.raises(FloatingPointError):
        from_float64(np.array([0.0, value]))
    assert from_float64(np.array([math.nextafter(HALF_BEYOND, 0)])).tolist() == [0x7F7F]
