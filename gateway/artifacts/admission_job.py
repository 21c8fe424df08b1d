"""The confined part of admission: inspect a model, load it, run it once on zeros."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime

from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.onnx_inspection import (
    Refusal,
    border_inputs,
    border_outputs,
    inspect,
    opset_of,
    parse,
)
from gateway.artifacts.sandbox import job

RUN_ELEMENTS_LIMIT: Final = 64 << 20  # of one input or output of the trial run
_FATAL_ONLY: Final = 4

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
    "BYTES": np.object_,
}


def main(
    inputs: dict[str, memoryview], args: dict[str, Any]
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Admit `inputs["model"]`; the report has `refused`, or what the model is."""
    try:
        return _admit(bytes(inputs["model"]), float(args["run_seconds"])), {}
    except Refusal as refusal:
        return {"refused": refusal.reason}, {}


def _admit(data: bytes, run_seconds: float) -> dict[str, Any]:
    model = parse(data)
    nodes, opset = inspect(model), opset_of(model)
    taken, given = border_inputs(model), border_outputs(model)
    del model  # the runtime parses its own copy
    results = _run(_load(data), taken, run_seconds)
    outputs = [_observed(spec, result) for spec, result in zip(given, results, strict=True)]
    return {
        "inputs": [_plain(spec) for spec in taken],
        "outputs": [_plain(spec) for spec in outputs],
        "opset": opset,
        "node_count": nodes,
    }


def _load(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.enable_cpu_mem_arena = False  # so that an allocation that is too large fails by itself
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as fault:
        raise Refusal(_reason(fault, "not_loadable")) from None


def _run(session: Any, taken: tuple[TensorSpec, ...], run_seconds: float) -> list[Any]:
    """Run on zeros, every open dimension 1, until a timer ends it."""
    feeds = {spec.name: _zeros(spec) for spec in taken}
    options = onnxruntime.RunOptions()
    options.log_severity_level = _FATAL_ONLY
    timer = threading.Timer(run_seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        results: list[Any] = session.run(None, feeds, options)
    except MemoryError:
        raise
    except Exception as fault:
        raise Refusal("time" if options.terminate else _reason(fault, "not_runnable")) from None
    finally:
        timer.cancel()
    return results


def _zeros(spec: TensorSpec) -> Any:
    shape = tuple(max(1, dim) for dim in spec.shape)
    if math.prod(shape) > RUN_ELEMENTS_LIMIT:
        raise Refusal("tensor_size")
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=np.object_)
    return np.zeros(shape, dtype=DTYPES[spec.datatype])


def _observed(spec: TensorSpec, result: Any) -> TensorSpec:
    """Complete a declared shape by the rank that was seen, and refuse a declaration that lied."""
    if not isinstance(result, np.ndarray) or result.dtype != DTYPES[spec.datatype]:
        raise Refusal("border_type")
    if result.size > RUN_ELEMENTS_LIMIT:
        raise Refusal("tensor_size")
    shape = spec.shape or (-1,) * result.ndim
    fits = len(shape) == result.ndim and all(
        dim in (-1, actual) for dim, actual in zip(shape, result.shape, strict=True)
    )
    if not fits:
        raise Refusal("border_shape")
    return TensorSpec(name=spec.name, datatype=spec.datatype, shape=shape)


def _reason(fault: Exception, otherwise: str) -> str:
    """Tell want of memory from a model that is wrong, by the runtime's words."""
    words = str(fault).lower()
    return "memory" if "alloc" in words else otherwise


def _plain(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


if __name__ == "__main__":
    job(main)
