"""BF16: the upper half of a float32, held as `uint16`. Pure.

Widening is exact. Narrowing rounds to the nearest, ties to even, once: a float64 is first rounded
to *odd* in float32, which keeps enough of what is below for the second step to be the only one that
counts (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
rounding to odd", IEEE Transactions on Computers 57(4), 2008).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

BF16: Final = "BF16"
"""The protocol's name of the datatype."""
Bits: TypeAlias = NDArray[np.uint16]

_EXPONENT: Final = np.uint16(0x7F80)
"""All ones in an infinity and in what is no number."""


def to_float32(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Return the values of `bits`, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def from_float64(values: NDArray[np.float64]) -> Bits:
    """Return the bits of the nearest values.

    Raises:
        FloatingPointError: A finite value is beyond the largest one, under
            `np.errstate(over="raise")` or not.
    """
    with np.errstate(over="raise"):
        nearest = values.astype(np.float32)
    back = nearest.astype(np.float64)
    # One step toward zero where rounding went away from it; the last bit stands for what was lost.
    truncated = nearest.view(np.uint32) - (np.abs(back) > np.abs(values))
    odd = truncated | (back != values)
    rounded = (odd + 0x7FFF + ((odd >> 16) & 1)) >> 16
    bits: Bits = rounded.astype(np.uint16)
    if not finite(bits).all():
        raise FloatingPointError("overflow")
    return bits


def from_exact(values: NDArray[np.float32]) -> Bits:
    """Return the bits of values that are BF16 already, what is not finite included."""
    bits: Bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    return bits


def finite(bits: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which of `bits` are finite numbers."""
    found: NDArray[np.bool_] = (bits & _EXPONENT) != _EXPONENT
    return found
