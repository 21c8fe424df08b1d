from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.errors import EngineError, EnginesDown, RunFailed
from gateway.engine.memory_files import seal
from gateway.engine.ports import PLAIN
from gateway.engine.process import Border, Bounds, EngineProcess
from gateway.engine.trial import SIZES, WORTH, difference, rows_of, try_out
from tests.gateway.artifacts.hostile_models import build, constant, linear, node, tensor
from tests.gateway.engine.dangers import plain
from tests.gateway.engine.threads import ThreadServer

SAMPLE = {"x": np.array([[1, 2, 3]], np.float32)}


def starter(model: onnx.ModelProto, *outputs: str) -> Callable[[str], EngineProcess]:
    server = ThreadServer()

    def start(kind: str) -> EngineProcess:
        if kind == "absent":
            raise EnginesDown
        data = plain(OTHERS[kind]() if kind in OTHERS else model)
        descriptor = seal(data)
        try:
            border = Border({"x": "FP32"}, outputs or ("y",))
            return EngineProcess(server, border, descriptor, Bounds(), 30.0)
        finally:
            os.close(descriptor)

    return start


def scaled(factor: float) -> onnx.ModelProto:
    return build([node("Mul", ["x", "k"], ["y"])], constants=[constant("k", factor, np.float32)])


def mixing() -> onnx.ModelProto:
    """Every row's answer depends on the others: a normalisation over the batch."""
    return build(
        [node("ReduceMean", ["x", "first"], ["m"], keepdims=1), node("Sub", ["x", "m"], ["y"])],
        constants=[constant("first", [0])],
    )


def summing() -> onnx.ModelProto:
    """One answer for all rows."""
    return build([node("ReduceSum", ["x", "first"], ["y"])], constants=[constant("first", [0])])


def shifting() -> onnx.ModelProto:
    """Answers each row with the sum of all before it."""
    return build([node("CumSum", ["x", "first"], ["y"])], constants=[constant("first", 0)])


OTHERS: dict[str, Callable[[], onnx.ModelProto]] = {
    "near": lambda: scaled(1.0001),
    "far": lambda: scaled(1.1),
    "broken": lambda: build(
        [node("Expand", ["x", "to"], ["y"])], constants=[constant("to", [7, 5])]
    ),
}


def clock(*steps: float) -> Callable[[], float]:
    ticks = itertools.accumulate(itertools.chain(steps, itertools.repeat(0.001)))
    return lambda: next(ticks)


def tried(model: onnx.ModelProto, *kinds: str, by_row: bool = True, **more: Any) -> Any:
    monotonic = more.pop("monotonic", clock())
    return try_out(starter(model), kinds, SAMPLE, by_row=by_row, monotonic=monotonic)


def test_rows_that_do_not_depend_on_each_other_may_share_a_run() -> None:
    found = tried(linear())
    assert found.rows == SIZES[-1], "each run takes one step of this clock, whatever its size"
    assert sorted(found.curve) == list(SIZES)


@pytest.mark.parametrize("model", [mixing(), summing(), shifting()], ids=["mean", "sum", "before"])
def test_rows_that_do_never_share(model: onnx.ModelProto) -> None:
    found = tried(model)
    assert (found.rows, found.curve) == (1, {})


def test_what_the_border_does_not_promise_is_not_shared() -> None:
    assert tried(linear(), by_row=False).rows == 1


def test_rows_that_cannot_be_told_apart_show_nothing() -> None:
    """Repeating one row of whole numbers looks independent whatever the model does."""
    model = build(
        [node("Identity", ["x"], ["y"])],
        inputs=[tensor("x", ["n"], onnx.TensorProto.INT64)],
        outputs=[tensor("y", ["n"], onnx.TensorProto.INT64)],
    )
    server = ThreadServer()
    descriptor = seal(plain(model))
    border = Border({"x": "INT64"}, ("y",))
    found = try_out(
        lambda _: EngineProcess(server, border, descriptor, Bounds(), 30.0),
        (),
        {"x": np.array([5])},
        by_row=True,
        monotonic=clock(),
    )
    os.close(descriptor)
    assert found.rows == 1


def test_a_kind_that_answers_something_else_is_refused() -> None:
    found = tried(scaled(1.0), "near", "far", "absent", "broken")
    assert found.kind == PLAIN, "none is faster by this clock"
    assert found.refused == {"far": "differs", "absent": "engines_down", "broken": "run_failed"}
    assert 0 < found.differs["near"] < 1e-3 < found.differs["far"]
    assert set(found.run_us) == {PLAIN, "near"}


def test_the_faster_kind_is_taken() -> None:
    slow_plain = [1.0, 1.0]
    found = tried(scaled(1.0), "near", by_row=False, monotonic=clock(*slow_plain))
    assert found.kind == "near"


def test_a_model_that_cannot_run_its_sample_is_told() -> None:
    with pytest.raises(RunFailed):
        tried(OTHERS["broken"]())
    assert issubclass(RunFailed, EngineError)


@pytest.mark.parametrize(
    ("curve", "rows"),
    [
        ({}, 1),
        ({1: 10e-6}, 1),
        ({1: 10e-6, 8: 2e-6, 32: 1e-6}, 32),
        ({1: 10e-6, 8: 2e-6, 32: 3e-6}, 8),
        ({1: 8e-3, 2: 8.6e-3, 4: 9e-3}, 1),  # an image network loses
        ({1: 10e-3, 2: 5.1e-3, 4: 5.1e-3}, 2),  # and nobody waits longer than 20 ms
        ({1: 1.0}, 1),
    ],
)
def test_the_size_follows_the_curve(curve: dict[int, float], rows: int) -> None:
    assert rows_of(curve) == rows


@given(st.dictionaries(st.sampled_from(SIZES), st.floats(1e-7, 1.0), max_size=len(SIZES)))
def test_a_size_is_of_the_curve_and_pays(curve: dict[int, float]) -> None:
    rows = rows_of(curve)
    assert rows == 1 or curve[rows] <= WORTH * curve[min(curve)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.array([1]), np.array([2])),
        (np.array([np.nan, 1]), np.array([1.0, 1])),
        (np.array([np.inf]), np.array([-np.inf])),
        (np.array(["a"], object), np.array(["b"], object)),
    ],
)
def test_unlike_answers_are_infinitely_far_apart(one: Any, other: Any) -> None:
    assert difference([one], [other]) == float("inf")


def test_answers_are_compared_beside_their_size() -> None:
    assert difference([np.array([1e6, 1.0])], [np.array([1e6 + 1, 1.0])]) == pytest.approx(1e-6)
    assert difference([np.array([np.nan, np.inf])], [np.array([np.nan, np.inf])]) == 0.0
    assert difference([], [np.zeros(1)]) == float("inf")
