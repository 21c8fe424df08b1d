"""The search for inputs that a model runs on. Runs in the sandbox only.

What the owner sent decides, where something was sent. Else sizes and values are tried in turn
(`gateway.artifacts.trial`), bounded in number and time, and the model is refused only when nothing
of it ran: with the first fault, which is that of the smallest input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.artifacts.manifest import TensorSpec, TrialValues
from gateway.artifacts.model_refusals import Refusal
from gateway.artifacts.model_runs import Runs, Shape
from gateway.artifacts.onnx_border import Border
from gateway.artifacts.trial import (
    GENERATED,
    RANKS,
    Shapes,
    grown,
    make_values,
    plans,
    tied_rows,
)

PLANS_LIMIT: Final = 240
"""Sizes that are tried with each kind of values; most fail within a millisecond."""
_ZEROS_SHARE: Final = 0.5
"""Of the time, for zeros of every size; the rest is for other values."""
GROWN_LIMIT: Final = 16
"""Open dimensions whose size is changed once more; models have one to six."""
_ENDS: Final = frozenset({"time"})
"""What no other input mends, or what would take as long again."""


@dataclass(frozen=True, slots=True)
class Found:
    """Inputs that the model ran on.

    Attributes:
        specs: All inputs, each with a rank now.
        shapes: Sizes of those that were fed.
        values: What was in them.
        results: Shapes of what came out, in the order of the outputs; None: no tensor.
        sample: The owner's own, where the model ran on nothing else.
    """

    specs: tuple[TensorSpec, ...]
    shapes: Shapes
    values: TrialValues
    results: list[Shape | None]
    sample: Mapping[str, NDArray[Any]] | None = None


def search(
    runs: Runs,
    borders: Sequence[Border],
    sample: Mapping[str, NDArray[Any]] | None,
    rows: Mapping[str, NDArray[Any]] | None,
    baked: Sequence[int] = (),
) -> Found:
    """Find inputs that the model runs on.

    Args:
        runs: Runs it.
        borders: Its inputs.
        sample: The owner's own, or None: then others are tried.
        rows: Of the calibration set; a first attempt only, as the set is judged later.
        baked: Sizes that the graph itself speaks of.

    Raises:
        Refusal: Nothing that was tried runs, or the sample does not.
    """
    if sample is not None:
        try:
            return _given(runs, borders, sample)
        except Refusal as refusal:
            if refusal.reason != "not_runnable":
                raise
            raise Refusal("sample_fails", refusal.part, refusal.found) from None
    if rows is not None:
        try:
            return _given(runs, borders, rows)
        except Refusal:
            pass  # the calibration says what is wrong with its rows
    return _tried(runs, borders, baked)


def untied(runs: Runs, found: Found) -> tuple[TensorSpec, ...]:
    """Return the inputs; where first dimensions need not agree, each with a symbol of its own.

    Symbols are the exporter's word. Where there is none, sizes that differ are run: whoever joins
    rows of two inputs fails on 2 beside 3. Where a run with sizes that differ succeeded, symbols
    that say otherwise do not count.
    """
    rows = {name: symbol for name, symbol in tied_rows(found.specs).items() if name in found.shapes}
    apart = {
        name
        for name, symbol in rows.items()
        if any(
            symbol == other and found.shapes[name][0] != found.shapes[peer][0]
            for peer, other in rows.items()
        )
    }
    nameless = [name for name, symbol in rows.items() if not symbol]
    if not apart and len(nameless) > 1 and _runs_apart(runs, found, nameless):
        apart = set(nameless)
    return tuple(_on_its_own(spec) if spec.name in apart else spec for spec in found.specs)


def of_other_sizes(runs: Runs, found: Found) -> list[list[Shape | None]]:
    """Return the shapes of what comes out where an open dimension has another size, each in turn.

    Exporters write sizes of their example into outputs that follow the rows; one run does not
    show it. Sizes that the model does not take show nothing.
    """
    results: list[list[Shape | None]] = []
    for shapes in islice(grown(found.specs, found.shapes), GROWN_LIMIT):
        for larger in shapes:
            if runs.deadline.over():
                return results
            try:
                results.append(runs.run(_larger(found, larger)))
            except Refusal as refusal:
                if refusal.reason in _ENDS:
                    return results
                continue
            break
    return results


def _larger(found: Found, shapes: Shapes) -> dict[str, NDArray[Any]]:
    """Make values of these sizes: those that ran, or the owner's own, repeated."""
    if found.sample is None:
        return make_values(found.specs, shapes, found.values)
    return {name: _repeated(array, shapes[name]) for name, array in found.sample.items()}


def _repeated(array: NDArray[Any], shape: Shape) -> NDArray[Any]:
    if 0 in array.shape:
        return np.zeros(shape, array.dtype)
    for axis, size in enumerate(shape):
        if size != array.shape[axis]:
            array = array.take(np.arange(size) % array.shape[axis], axis)
    return array


def _given(runs: Runs, borders: Sequence[Border], arrays: Mapping[str, NDArray[Any]]) -> Found:
    """Run what the owner sent; later, arrays of the same sizes may do as well."""
    results = runs.run(arrays)
    shapes: Shapes = {name: array.shape for name, array in arrays.items()}
    specs = tuple(_ranked(border, len(shapes.get(border.spec.name, ()))) for border in borders)
    for values in GENERATED:
        try:
            runs.run(make_values(specs, shapes, values))
        except Refusal as refusal:
            if refusal.reason in _ENDS:
                break
            continue
        return Found(specs, shapes, values, results)
    return Found(specs, shapes, "sample", results, arrays)


def _tried(runs: Runs, borders: Sequence[Border], baked: Sequence[int]) -> Found:
    first: Refusal | None = None
    passes = [((GENERATED[0],), _ZEROS_SHARE), (GENERATED[1:], 1.0)]
    for kinds, share in passes:
        for specs, shapes in islice(_plans(borders, baked), PLANS_LIMIT):
            for values in kinds:
                if first is not None and runs.deadline.over(share):
                    break
                try:
                    results = runs.run(make_values(specs, shapes, values))
                except Refusal as refusal:
                    first = first or refusal
                    if refusal.reason in _ENDS:
                        raise
                    continue
                return Found(specs, shapes, values, results)
    raise first or Refusal("tensor_size", "input", "its fixed sizes are too large")


def _plans(
    borders: Sequence[Border], baked: Sequence[int]
) -> Iterator[tuple[tuple[TensorSpec, ...], Shapes]]:
    """Yield specs and sizes; all numbers of dimensions in turn where one is not declared."""
    ranks = RANKS if not all(border.ranked for border in borders) else RANKS[:1]
    for rank in ranks:
        specs = tuple(_ranked(border, rank) for border in borders)
        fed = [spec for spec in specs if not spec.optional]
        for shapes in islice(plans(fed, baked), PLANS_LIMIT // len(ranks)):
            yield specs, shapes


def _ranked(border: Border, rank: int) -> TensorSpec:
    if border.ranked:
        return border.spec
    return msgspec.structs.replace(border.spec, shape=(-1,) * rank, symbols=())


def _runs_apart(runs: Runs, found: Found, nameless: Sequence[str]) -> bool:
    if found.values == "sample":
        return False
    sizes = {name: count for count, name in enumerate(nameless, start=2)}
    shapes = {
        name: (sizes[name], *shape[1:]) if name in sizes else shape
        for name, shape in found.shapes.items()
    }
    try:
        runs.run(make_values(found.specs, shapes, found.values))
    except Refusal:
        return False
    return True


def _on_its_own(spec: TensorSpec) -> TensorSpec:
    rest = spec.symbols[1:] or ("",) * (len(spec.shape) - 1)
    return msgspec.structs.replace(spec, symbols=(f"rows of {spec.name}"[:64], *rest))
