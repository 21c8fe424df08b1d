"""What a model answers to a calibration set, and which of its outputs names the class.

The model is hostile and runs inside the sandbox; whatever it does ends as `CalibrationRefused`, or
as the sandbox's limits. Outputs are looked at as they come, not as the graph declares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gateway.screening.dataset import CalibrationSet
from gateway.screening.errors import CalibrationRefused
from gateway.screening.fused_graph import ClassOutput
from gateway.screening.reference import MAX_CLASSES

_BATCH: Final = 256
_DTYPES: Final[dict[str, type[np.generic]]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    **{f"tensor(int{bits})": getattr(np, f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": getattr(np, f"uint{bits}") for bits in (8, 16, 32, 64)},
}


def open_session(model: bytes) -> ort.InferenceSession:
    """Load a model from memory, on one thread so that answers are the same again."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise CalibrationRefused("model") from error


def run_all(session: ort.InferenceSession, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Answer all rows in batches. Outputs that are not one tensor row a row are left out."""
    name = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs()]
    batches: list[list[Any]] = []
    try:
        for start in range(0, len(x), _BATCH):
            batches.append(session.run(None, {name: x[start : start + _BATCH]}))
    except Exception as error:
        raise CalibrationRefused("run") from error
    answers = {}
    for position, output in enumerate(names):
        values = [batch[position] for batch in batches]
        if all(isinstance(value, np.ndarray) and value.ndim for value in values):
            joined = np.concatenate(values)
            if len(joined) == len(x):
                answers[output] = joined
    return answers


def fitted_to(session: ort.InferenceSession, data: CalibrationSet) -> CalibrationSet:
    """Bring `x` to the model's element type, if it fits the declared shape."""
    declared = session.get_inputs()[0]
    sizes = declared.shape[1:]
    fixed = all(
        not isinstance(size, int) or size < 1 or size == got
        for size, got in zip(sizes, data.x.shape[1:], strict=False)
    )
    if len(declared.shape) != data.x.ndim or not fixed or declared.type not in _DTYPES:
        raise CalibrationRefused("shape")
    with np.errstate(all="ignore"):
        x = data.x.astype(_DTYPES[declared.type])
        same = np.allclose(x.astype(np.float64), data.x.astype(np.float64), rtol=1e-2, atol=1e-6)
    if not same:
        raise CalibrationRefused("dtype")
    return CalibrationSet(np.ascontiguousarray(x), data.y)


def find_class_output(answers: Mapping[str, NDArray[Any]], chosen: str | None) -> ClassOutput:
    """Find the one output that can hold class scores, and say what they are."""
    candidates = {
        name: values
        for name, values in answers.items()
        if values.dtype.kind == "f" and (chosen is None or name == chosen)
    }
    wide = {name: v for name, v in candidates.items() if v.ndim == 2 and v.shape[1] > 1}
    narrow = {name: v for name, v in candidates.items() if v.size == len(v)}
    found = wide or narrow
    if len(found) != 1:
        raise CalibrationRefused("class_output")
    ((name, values),) = found.items()
    columns = values.size // len(values)
    if columns > MAX_CLASSES:
        raise CalibrationRefused("classes")
    if not np.isfinite(values).all():
        raise CalibrationRefused("run")
    bounded = bool((values >= 0).all() and (values <= 1).all())
    sums = columns == 1 or np.allclose(values.astype(np.float64).sum(axis=1), 1.0, atol=1e-2)
    return ClassOutput(name, columns, "probabilities" if bounded and sums else "logits")
