"""The contract of a model's inputs: what a request must be before the model sees it. Pure.

Safety argument. `Contract.check` passes arrays only if
1. they are exactly the inputs of the signed manifest, by name, element type and shape; those with a
   default may be left out;
2. there are from 1 to the cap rows, inputs whose first dimension has the same symbol agree on their
   number (those without one, too), and all elements together are bounded;
3. every floating value is finite where the manifest does not allow others, and within the range
   where one is known.
A failure is a value with a stable reason and the input's name *from the manifest*: nothing that a
caller sent is repeated. Strings are held to type and shape only.

The range is the owner's where the owner states one, else what the calibration set showed, widened
on either side by the width of what it showed: it catches wrong units (0 to 255 for 0 to 1, grams
for kilograms), not rare values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.artifacts.manifest import TensorSpec
from gateway.screening.profile import Profile, Range

# Bits of a bfloat16's exponent; all set, it is not-a-number or an infinity.
_BF16_EXPONENT: Final = 0x7F80
# One request of 64 Mi elements is 256 MiB of float32: more than any body that is accepted.
MAX_ELEMENTS: Final = 1 << 26

Reason: TypeAlias = Literal[
    "inputs",  # an input is missing, or one is not in the manifest
    "datatype",
    "shape",
    "rows",  # none, or inputs that disagree
    "too_many_rows",
    "too_large",
    "not_finite",
    "out_of_range",
]

_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(np.uint16),  # numpy has no such type: its bits
    "BYTES": np.dtype(np.object_),
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True, slots=True)
class ContractFailure:
    """Why a request does not fit the model.

    Attributes:
        reason: Stable, for machines.
        input: The manifest's name of the input at fault; empty when it is the whole request.
    """

    reason: Reason
    input: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One input, made ready to be checked."""

    name: str
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    tail: tuple[int, ...] | None  # what follows the first size, where only that is open
    rows: str | None  # the symbol of an open first dimension, perhaps empty
    optional: bool
    any_value: bool  # texts and whole numbers, and floating ones that need not be finite
    bfloat: bool
    low: NDArray[Any] | None
    high: NDArray[Any] | None

    def check(self, array: NDArray[Any]) -> Reason | None:
        if array.dtype != self.dtype:
            return "datatype"
        shape = array.shape
        if (not shape or shape[1:] != self.tail) and not self._fits(shape):
            return "shape"
        if self.low is not None:
            inside = (array >= self.low) & (array <= self.high)
            if np.count_nonzero(inside) != inside.size:
                return self._outside(array, inside)
        elif not self.any_value and not self._finite(array).all():
            return "not_finite"
        return None

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.sizes) and all(
            want in (-1, got) for want, got in zip(self.sizes, shape, strict=True)
        )

    def _outside(self, array: NDArray[Any], inside: NDArray[np.bool_]) -> Reason | None:
        """Tell what is outside of the range from what is no number."""
        finite = self._finite(array)
        if not self.any_value and not finite.all():
            return "not_finite"
        return None if (inside | ~finite).all() else "out_of_range"

    def _finite(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        if self.bfloat:
            return np.asarray((array & _BF16_EXPONENT) != _BF16_EXPONENT)
        return np.asarray(np.isfinite(array))


class Contract:
    """What the inputs of one model version must be.

    Args:
        inputs: From the signed manifest.
        max_rows: Largest number of rows in one request.
        ranges: Bounds by input name.

    Raises:
        ValueError: A range names no numeric input or does not fit its columns.
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        *,
        max_rows: int,
        ranges: Mapping[str, Range] | None = None,
    ) -> None:
        ranges = ranges or {}
        if not ranges.keys() <= {spec.name for spec in inputs}:
            raise ValueError("a range names no input")
        self.max_rows = max_rows
        self._rules = tuple(_rule(spec, ranges.get(spec.name)) for spec in inputs)
        required = (rule for rule in self._rules if not rule.optional and rule.rows is not None)
        self._leading = next((rule.rows for rule in required), None)

    def check(self, arrays: Mapping[str, NDArray[Any]]) -> ContractFailure | None:
        """Return why the arrays break the contract, or None. Microseconds for a small request."""
        known = elements = 0
        counts: dict[str, int] = {}
        for rule in self._rules:
            array = arrays.get(rule.name)
            if array is None:
                if rule.optional:
                    continue
                return ContractFailure("inputs", rule.name if arrays else "")
            known += 1
            # All inputs together are bounded, so a request cannot spread over many of them.
            elements += array.size
            if elements > MAX_ELEMENTS:
                return ContractFailure("too_large", rule.name)
            if rule.rows is not None and array.ndim:
                reason = self._count(rule.rows, array.shape[0], counts)
                if reason is not None:
                    return ContractFailure(reason, rule.name)
            reason = rule.check(array)
            if reason is not None:
                return ContractFailure(reason, rule.name)
        return None if known == len(arrays) else ContractFailure("inputs")

    def rows(self, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Return the rows of a request that passed: those of the model's first input with rows.

        The order in which a caller names inputs, and inputs with other first dimensions (the edges
        beside the nodes of a graph), do not change it. Where no first dimension is open it is that
        of the first input that must be there, 1 for a scalar.
        """
        for rule in self._rules:
            if rule.rows == self._leading and not rule.optional and rule.name in arrays:
                shape = arrays[rule.name].shape
                return shape[0] if shape else 1
        return 1

    def _count(self, symbol: str, count: int, counts: dict[str, int]) -> Reason | None:
        """Hold a first dimension to those of the same symbol; the first such says how many."""
        if counts.setdefault(symbol, count) != count:
            return "rows"
        if symbol != self._leading:
            return None  # no rows of the request: bounded as elements
        if count < 1:
            return "rows"
        return "too_many_rows" if count > self.max_rows else None


def contract_for(
    inputs: Sequence[TensorSpec],
    *,
    max_rows: int,
    profile: Profile | None = None,
    declared: Mapping[str, Range] | None = None,
) -> Contract:
    """Build a contract from the manifest, and the profile's observed range of the only input.

    Args:
        inputs: From the signed manifest.
        max_rows: Largest number of rows in one request.
        profile: Of the calibration, if there was one.
        declared: The owner's ranges by input name; they win over what was observed.
    """
    ranges = dict(declared or {})
    required = [spec for spec in inputs if not spec.optional]
    if profile is not None and len(required) == 1:
        ranges.setdefault(required[0].name, profile.range)
    return Contract(inputs, max_rows=max_rows, ranges=ranges)


def _rule(spec: TensorSpec, bounds: Range | None) -> _Rule:
    dtype, bfloat = _DTYPES[spec.datatype], spec.datatype == "BF16"
    low = high = None
    if bounds is not None:
        columns = len(bounds.low)
        if dtype.kind not in "fiu" or bfloat or len(bounds.high) != columns or columns < 1:
            raise ValueError("a range does not fit its input")
        if columns > 1 and (not spec.shape or spec.shape[-1] not in (-1, columns)):
            raise ValueError("a range does not fit its columns")
        low, high = _bounds(bounds, dtype)
    return _Rule(
        name=spec.name,
        dtype=dtype,
        sizes=tuple(spec.shape),
        tail=tuple(spec.shape[1:]) if _only_first_open(spec.shape) else None,
        rows=(spec.symbols[0] if spec.symbols else "") if spec.shape[:1] == (-1,) else None,
        optional=spec.optional,
        any_value=spec.allow_nan or not (dtype.kind == "f" or bfloat),
        bfloat=bfloat,
        low=low,
        high=high,
    )


def _only_first_open(sizes: Sequence[int]) -> bool:
    return sizes[:1] == (-1,) and -1 not in sizes[1:]


def _bounds(bounds: Range, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bounds in the input's own type, so that comparing does not convert the input."""
    low, high = np.asarray(bounds.low), np.asarray(bounds.high)
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return (
            np.maximum(low, float(limits.min)).astype(dtype),
            np.minimum(high, float(limits.max)).astype(dtype),
        )
    return low, high
