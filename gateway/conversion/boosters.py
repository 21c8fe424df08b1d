"""XGBoost's and LightGBM's models to ONNX: their estimators, alone or in a pipeline, and files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import onnxmltools
from numpy.typing import NDArray

from gateway.conversion.request import Stuck
from gateway.conversion.source import Source

OPSET: Final = 15
"""The newest that the converters write for every objective; all of it is served."""
_MOST_TREES: Final = 50
_SPLIT: Final = re.compile(r'"split": "f(\d+)", "split_condition": (-?[\d.eE+-]+)')
LIBRARIES: Final = ("xgboost", "lightgbm")


def library_of(model: Any) -> str:
    """Return `xgboost` or `lightgbm` where it made the model, else nothing."""
    package = type(model).__module__.partition(".")[0]
    return package if package in LIBRARIES else ""


def is_native(model: Any) -> bool:
    """Tell whether this is a booster of a library's own, as its files hold."""
    return bool(library_of(model)) and type(model).__name__ == "Booster"


def width_of(booster: Any) -> int:
    """Return the number of columns that a library's own booster takes."""
    count = booster.num_features() if library_of(booster) == "xgboost" else booster.num_feature()
    return int(count)


def splits(model: Any) -> list[tuple[int, float]]:
    """Return column and value of each split of the trees; empty where it is no such model."""
    library = library_of(model)
    if library == "xgboost":
        booster = model if is_native(model) else model.get_booster()
        booster.feature_names = None
        dump = "".join(booster.get_dump(dump_format="json")[:_MOST_TREES])
        return [(int(column), float(value)) for column, value in _SPLIT.findall(dump)]
    if library == "lightgbm":
        booster = model if is_native(model) else model.booster_
        text = booster.model_to_string(num_iteration=_MOST_TREES)
        lists = [re.findall(rf"(?m)^{key}=(.+)$", text) for key in ("split_feature", "threshold")]
        columns, values = (" ".join(found).split() for found in lists)
        return [(int(c), float(v)) for c, v in zip(columns, values, strict=False)]
    return []


def convert_one(model: Any, width: int) -> Any:
    """Convert an estimator or booster of one of the libraries.

    Raises:
        Stuck: `unsupported`: the library has no converter for it.
    """
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("x", FloatTensorType([None, width]))]
    try:
        if library_of(model) == "xgboost":
            return onnxmltools.convert_xgboost(
                _without_names(model), initial_types=types, target_opset=OPSET
            )
        return onnxmltools.convert_lightgbm(
            model, initial_types=types, target_opset=OPSET, zipmap=False
        )
    except Exception as fault:  # of many libraries
        said = " ".join(str(fault).split())[:300]
        raise Stuck(
            "unsupported",
            f"onnxmltools {onnxmltools.__version__} does not convert it: {said}",
            "train it on labels 0 and 1, not False and True"
            if np.asarray(getattr(model, "classes_", [])).dtype.kind == "b"
            else "train it with another objective or booster",
        ) from None


def native_says(booster: Any, x: NDArray[Any], outputs: Iterable[str]) -> dict[str, Any]:
    """Return what a booster itself says, by the outputs of the converted one."""
    if library_of(booster) == "xgboost":
        import xgboost

        said = np.asarray(booster.predict(xgboost.DMatrix(x)))
    else:
        said = np.asarray(booster.predict(x))
    if "probabilities" not in outputs:
        return {"variable": said}
    if said.ndim == 1:
        said = np.stack([1.0 - said, said], axis=1)
    return {"label": said.argmax(axis=1), "probabilities": said}


def register(parts: Iterable[Any]) -> None:
    """Let skl2onnx know the estimators of these libraries that stand in a pipeline."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    for part in parts:
        library, classifies = library_of(part), hasattr(part, "classes_")
        if not library:
            continue
        update_registered_converter(
            type(part),
            f"{library}{type(part).__name__}",
            calculate_linear_classifier_output_shapes
            if classifies
            else calculate_linear_regressor_output_shapes,
            _converter(library),
            options={"zipmap": [True, False], "nocl": [True, False]} if classifies else None,
        )
        if library == "xgboost":
            _without_names(part)


def source_of(booster: Any, given: dict[str, NDArray[Any]], made_by: str) -> Source:
    """Return a library's own booster as what is converted and compared with."""

    def converted() -> tuple[Any, list[str]]:
        model = convert_one(booster, width_of(booster))
        return model, [f"converted by onnxmltools {onnxmltools.__version__}"]

    return Source(made_by, given, converted, lambda names: native_says(booster, given["x"], names))


def _converter(library: str) -> Any:
    if library == "xgboost":
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        return convert_xgboost
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    return convert_lightgbm


def _without_names(model: Any) -> Any:
    """Columns are told by their places: the converter takes no other names than `f0`, `f1`, …."""
    booster = model if type(model).__name__ == "Booster" else model.get_booster()
    booster.feature_names = None
    return model
