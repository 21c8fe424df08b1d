"""Estimators and pipelines of scikit-learn to ONNX, and what they say themselves.

Without maps (`zipmap=False`): callers read tensors.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxmltools
import skl2onnx
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

from gateway.conversion import boosters
from gateway.conversion.estimator_inputs import (
    Column,
    Taken,
    feeds,
    parts_of,
    taken_by,
    width_of,
)
from gateway.conversion.request import Stuck
from gateway.conversion.rows import Rows
from gateway.conversion.servable import graphs
from gateway.conversion.source import Source

OPSETS: Final = {"": 21, "ai.onnx.ml": 3}
"""What converters, the runtime and the screens all know; by default each asks for another."""
_SHOWN: Final = 20  # classes
_SAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "label": ("predict",),
    "probabilities": ("predict_proba", "decision_function"),
    "scores": ("decision_function", "transform", "score_samples"),
    "variable": ("predict", "transform"),
}
"""Output of a converted model → the methods that say the same, the first that there is."""


def is_one(model: Any) -> bool:
    """Tell whether this is a fitted estimator or pipeline."""
    if boosters.is_native(model):
        return True
    return hasattr(model, "get_params") and any(hasattr(model, m) for m in ("predict", "transform"))


def unwrapped(model: Any) -> Any:
    """Return what a search for parameters found."""
    return getattr(model, "best_estimator_", model)


def source_of(model: Any, rows: Rows | None) -> Source:
    """Return what there is to convert and to compare with.

    Raises:
        Stuck: What it takes is not known, or the rows do not fit.
    """
    if boosters.is_native(model):
        taken = Taken([Column("x", "f", boosters.width_of(model))])
        return boosters.source_of(model, feeds(taken, rows, model), made_by(model))
    taken = taken_by(model, rows)
    given = feeds(taken, rows, model)

    def converted() -> tuple[Any, list[str]]:
        if boosters.library_of(model):
            (column,) = taken.columns
            proto = boosters.convert_one(model, column.width or 1)
            changes = [f"converted by onnxmltools {onnxmltools.__version__}"]
        else:
            boosters.register(parts_of(model))
            proto = convert(model, taken)
            _rename_inputs(proto, [column.name for column in taken.columns])
            changes = [f"converted by skl2onnx {skl2onnx.__version__}"]
        classes = getattr(model, "classes_", None)
        if isinstance(classes, np.ndarray):
            shown = ", ".join(str(label) for label in classes[:_SHOWN])
            more = ", …" if len(classes) > _SHOWN else ""
            changes.append(f"probabilities are a tensor (zipmap off); its columns: {shown}{more}")
        return proto, changes

    return Source(made_by(model), given, converted, lambda names: says(model, taken, given, names))


def convert(model: Any, taken: Taken) -> Any:
    """Convert a model.

    Raises:
        Stuck: `unsupported`: the library has no converter for a part of it.
    """
    types = [
        (column.name, _TYPES[column.kind]([None, *width_of(column)])) for column in taken.columns
    ]
    try:
        options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
        return _converted(model, types, options)
    except Exception as fault:  # skl2onnx raises classes of many libraries
        said = " ".join(str(fault).split())[:300]
        raise Stuck(
            "unsupported",
            f"skl2onnx {skl2onnx.__version__} does not convert it: {said}",
            "put a supported step in its place (https://onnx.ai/sklearn-onnx/supported.html), or "
            "leave it to the caller",
        ) from None


def _converted(model: Any, types: list[Any], options: Any) -> Any:
    try:
        return skl2onnx.to_onnx(model, initial_types=types, options=options, target_opset=OPSETS)
    except (NameError, ValueError):
        if options is None:
            raise
    # A classifier whose converter has no such option; maps that remain are taken off later.
    return skl2onnx.to_onnx(model, initial_types=types, target_opset=OPSETS)


def _rename_inputs(proto: Any, names: list[str]) -> None:
    """Give inputs the names of the columns again: the converter writes `_` for a space."""
    if len(proto.graph.input) != len(names):
        return
    given = dict(zip((value.name for value in proto.graph.input), names, strict=True))
    for value in proto.graph.input:
        value.name = given[value.name]
    for graph in graphs(proto.graph):
        for node in graph.node:
            for place, name in enumerate(node.input):
                node.input[place] = given.get(name, name)


def says(model: Any, taken: Taken, given: Mapping[str, NDArray[Any]], outputs: list[str]) -> Any:
    """Return what the model itself says, by output of the converted one."""
    x = _frame(given) if taken.by_name else _wide(next(iter(given.values())))
    said: dict[str, Any] = {}
    for output in outputs:
        for method in _SAYS.get(output, ("predict", "transform")):
            if hasattr(model, method):
                said[output] = _asked(model, method, x)
                break
    return said


def _asked(model: Any, method: str, x: Any) -> Any:
    try:
        return getattr(model, method)(x)
    except Exception as fault:  # an estimator raises what it likes
        said = " ".join(str(fault).split())[:200]
        raise Stuck(
            "not_runnable",
            f"the model itself does not run on these rows: {type(fault).__name__}: {said}",
            "say what it runs on: --sample ROWS.npz (`x`) or ROWS.csv",
        ) from None


def _frame(given: Mapping[str, NDArray[Any]]) -> Any:
    try:
        import pandas
    except ImportError:
        raise Stuck(
            "missing",
            "the model picks columns by name, which takes a data frame",
            "pip install pandas",
        ) from None
    return pandas.DataFrame({name: _wide(array.ravel()) for name, array in given.items()})


def _wide(array: NDArray[Any]) -> NDArray[Any]:
    """Return the same values as the model was trained on them, in float64."""
    return array.astype(np.float64) if array.dtype == np.float32 else array


_TYPES: Final = {"f": FloatTensorType, "i": Int64TensorType, "U": StringTensorType}


def made_by(model: Any) -> str:
    """Name a model: its class, its steps and the library that made it."""
    steps = [type(step).__name__ for _, step in getattr(model, "steps", ())]
    name = " of ".join(filter(None, (type(model).__name__, ", ".join(steps))))
    module = inspect.getmodule(type(model))
    package = (module.__name__ if module else "").partition(".")[0]
    version = getattr(importlib.import_module(package), "__version__", "") if package else ""
    return f"{name} ({package} {version})".replace("sklearn", "scikit-learn")
