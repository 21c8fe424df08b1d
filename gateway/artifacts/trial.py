"""Inputs that a model may run on: sizes for its open dimensions, and values. Pure.

A graph says which dimensions are open, and not which sizes it can take: a voice detector wants 576
samples, a text recogniser pictures whose sides are multiples of 32, an attention mask as many
columns as there are tokens. So sizes are tried in turn, dimensions of one symbol together
(`a + b` is the sum of both), and values after that: zeros, ones, lengths, small random numbers.

The same plan gives the same arrays again: whoever warms or measures a model later makes them from
the `Trial` of its manifest.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from gateway.artifacts.manifest import TensorSpec, TrialValues

Shapes: TypeAlias = dict[str, tuple[int, ...]]

ELEMENTS_LIMIT: Final = 64 << 20
"""Of one input or output of a trial run."""
GUESSED_LIMIT: Final = 8 << 20
"""Elements of one input whose sizes are guessed; a picture of 640 x 640 has a seventh."""
SIZES: Final = (1, 2, 8, 16, 32, 64, 128, 224, 256, 512, 576, 640, 1024, 1536, 3000, 16000)
"""What models take: rows, tokens, sides of pictures, frames and samples of speech."""
GENERATED: Final[tuple[TrialValues, ...]] = ("zeros", "ones", "lengths", "small")
RANKS: Final = (2, 1, 4, 3)
"""Numbers of dimensions that are tried where an input declares none; tables are commonest."""
_RATES: Final = frozenset({"sr", "rate", "sample_rate", "sampling_rate", "samplerate"})
_RATE: Final = 16_000
"""Samples a second: what a model of speech does with the rest follows from such an input."""
_CHANNELS: Final = (3, 1)
_BATCHES: Final = (1, 2, 3, 4, 8)  # of the example that a model was traced with
_STATE: Final = 3  # dimensions of a recurrent layer's state
_PICTURE: Final = 4  # dimensions of a batch of pictures

# The bits of 1.0; a bfloat16 is the upper half of a float32.
_ONE_BF16: Final = 0x3F80

DTYPES: Final[Mapping[str, Any]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BF16": np.uint16,  # numpy has no such type: its bits
    "BYTES": np.object_,
}


def plans(specs: Sequence[TensorSpec], baked: Sequence[int] = ()) -> Iterator[Shapes]:
    """Yield sizes for the inputs, each once, likely ones first; one plan where nothing is open.

    Args:
        specs: The inputs that are fed.
        baked: Sizes that the graph itself speaks of, which an exporter may have left fixed in it.
    """
    seen: set[tuple[tuple[int, ...], ...]] = set()
    for sizes in _assignments(specs, baked):
        shapes = {spec.name: _sized(spec, sizes) for spec in specs}
        key = tuple(shapes.values())
        small = all(math.prod(shapes[spec.name]) <= _most(spec) for spec in specs)
        if small and key not in seen:
            seen.add(key)
            yield shapes


def grown(
    specs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]]
) -> Iterator[list[Shapes]]:
    """Yield for each open dimension, those of one symbol together, shapes in which it is larger.

    Args:
        specs: The inputs; those without a shape are left out.
        shapes: Sizes by input name that the model runs on.

    Yields:
        Twice as long and longer by one: a model may take multiples of something only.
    """
    fed = [spec for spec in specs if spec.name in shapes]
    for key in _keys(fed):
        tried = [_grown(fed, shapes, key, double=double) for double in (True, False)]
        yield [
            each
            for each in ([tried[0]] if tried[0] == tried[1] else tried)
            if all(math.prod(each[spec.name]) <= _most(spec) for spec in fed)
        ]


def _grown(
    specs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], key: str, *, double: bool
) -> Shapes:
    """Return the shapes with the dimensions of a key longer; a sum grows by what its part does."""
    named = [(spec, axis) for spec in specs for axis in _of(spec, [key])]
    step = next((shapes[spec.name][axis] or 1 for spec, axis in named), 1) if double else 1
    found: Shapes = {}
    for spec in specs:
        sizes = list(shapes[spec.name])
        for axis, size in enumerate(spec.shape):
            terms = _terms(_open_key(spec, axis)) if size == -1 else []
            alone = double and terms == [key]  # each by itself: a sample's may differ
            sizes[axis] += (sizes[axis] or 1) if alone else step * terms.count(key)
        found[spec.name] = tuple(sizes)
    return found


def _of(spec: TensorSpec, terms: list[str]) -> list[int]:
    """Return the open dimensions whose size is named by exactly these terms."""
    return [
        axis
        for axis, size in enumerate(spec.shape)
        if size == -1 and _terms(_open_key(spec, axis)) == terms
    ]


def make_values(
    specs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], values: TrialValues
) -> dict[str, NDArray[Any]]:
    """Make the arrays of a trial, the same for the same arguments.

    Args:
        specs: The inputs; those without a shape are left out.
        shapes: Sizes by input name.
        values: One of `GENERATED`.
    """
    fed = [spec for spec in specs if spec.name in shapes]
    longest = max(
        (shapes[s.name][axis] for s in fed for axis, size in enumerate(s.shape) if size == -1),
        default=1,
    )
    return {spec.name: _filled(spec, tuple(shapes[spec.name]), values, longest) for spec in fed}


def tied_rows(specs: Sequence[TensorSpec]) -> dict[str, str]:
    """Return the symbol of the first dimension by input, where it is open; empty: it has none."""
    return {
        spec.name: spec.symbols[0] if spec.symbols else ""
        for spec in specs
        if spec.shape[:1] == (-1,)
    }


def _filled(
    spec: TensorSpec, shape: tuple[int, ...], values: TrialValues, longest: int
) -> NDArray[Any]:
    dtype = np.dtype(DTYPES[spec.datatype])
    if spec.name.lower() in _RATES and math.prod(shape) == 1 and dtype.kind in "iuf":
        return np.full(shape, _RATE, dtype)
    if dtype.kind == "O":
        return np.full(shape, "" if values == "zeros" else "a", dtype)
    if values == "zeros":
        return np.zeros(shape, dtype)
    if values == "small":
        # Seeded by the name, so that two inputs of one shape are not the same.
        chance = default_rng(zlib.crc32(spec.name.encode()))
        if spec.datatype == "BF16":
            return (chance.random(shape, np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return np.asarray(
            chance.random(shape) if dtype.kind == "f" else chance.integers(0, 2, shape)
        ).astype(dtype)
    if spec.datatype == "BF16":
        return np.full(shape, _ONE_BF16, dtype)
    counts = values == "lengths" and dtype.kind in "iu" and len(shape) <= 1
    most = int(np.iinfo(dtype).max) if dtype.kind in "iu" else longest
    return np.full(shape, min(longest, most) if counts else 1, dtype)


def _most(spec: TensorSpec) -> int:
    return GUESSED_LIMIT if -1 in spec.shape else ELEMENTS_LIMIT


def _assignments(specs: Sequence[TensorSpec], baked: Sequence[int]) -> Iterator[dict[str, int]]:
    """Yield sizes by the key of each open dimension, likely ones first."""
    keys = _keys(specs)
    leading = {key for spec in specs for key in _open(spec)[:1] if spec.shape[0] == -1}
    channels = {
        _open_key(spec, 1) for spec in specs if len(spec.shape) == _PICTURE and spec.shape[1] == -1
    }
    past = {key for key in keys if "past" in key.lower()}
    for size in SIZES:
        inner = {key: 1 if key in leading else size for key in keys}
        yield inner
        if past:  # a decoder's first step has no past
            yield inner | dict.fromkeys(past, 0)
            yield dict.fromkeys(keys, size) | dict.fromkeys(past, 0)
        for count in _CHANNELS if channels else ():
            yield inner | dict.fromkeys(channels, count)
    for size in SIZES:
        yield dict.fromkeys(keys, size)
    for rows in _BATCHES:
        for size in baked:
            yield {key: rows if key in leading else size for key in keys}
    # One dimension apart from the others: pictures beside counts, tokens beside features.
    for other in (1, 2, 16):
        for key in keys:
            for size in SIZES:
                yield dict.fromkeys(keys, other) | {key: size}


def _keys(specs: Sequence[TensorSpec]) -> list[str]:
    return list(dict.fromkeys(key for spec in specs for key in _open(spec)))


def _open(spec: TensorSpec) -> list[str]:
    """Return the keys that the sizes of a shape depend on, in order."""
    keys: list[str] = []
    for axis, size in enumerate(spec.shape):
        if size == -1:
            keys += [term for term in _terms(_open_key(spec, axis)) if not term.isdigit()]
    return keys


def _open_key(spec: TensorSpec, axis: int) -> str:
    """Return what names the size of an open dimension.

    Where it has no name it is taken for the rows if it comes first, or second in the state of a
    recurrent layer: (layers, rows, units).
    """
    symbol = spec.symbols[axis] if spec.symbols else ""
    state = axis == 1 and len(spec.shape) == _STATE and spec.shape[0] > 1 and spec.shape[2] > 1
    return symbol or ("\0rows" if axis == 0 or state else f"\0{axis} of {spec.name}")


def _terms(key: str) -> list[str]:
    """Take a sum such as `past_length + 1` apart, as exporters write it."""
    terms = [term.strip() for term in key.split("+")] if key[:1] != "\0" else [key]
    return terms if all(term.isidentifier() or term.isdigit() for term in terms) else [key]


def _sized(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(
        sum(int(t) if t.isdigit() else sizes[t] for t in _terms(_open_key(spec, axis)))
        if size == -1
        else size
        for axis, size in enumerate(spec.shape)
    )
