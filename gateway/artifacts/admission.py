"""Admission: may this ONNX model be served at all?

The whole examination happens in a confined process (`gateway.artifacts.admission_job`): first our
own static pass, then a load and one run on zeros by the same runtime that serves, under limits of
memory and time. Nothing of the model is parsed in this process, and the report that comes back
is checked as if the model had written it.

What is left: a graph that behaves here, and takes all time or memory on other inputs. For that
reason every request runs in an engine that its deadline ends (`gateway.engine.served`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from gateway.artifacts.errors import ModelRefused, SandboxFailed
from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.sandbox import Limits, SandboxResult, run_sandboxed

MODEL_LIMIT: Final = (2 << 30) - 1  # protobuf cannot hold more
_MODULE: Final = "gateway.artifacts.admission_job"
_BASE_MEMORY: Final = 1536 << 20  # interpreter, numpy, runtime and its threads' stacks
_COPIES: Final = 6  # input, bytes, two parsed forms, weights, packed weights
_RUN_SECONDS: Final = 10.0
_CPU_SECONDS: Final = 60
_WALL_SECONDS: Final = 90.0
_REPORT_BYTES: Final = 4 << 20

REASONS: Final = {
    "malformed": "it is no ONNX model",
    "too_large": "it is larger than 2 GiB",
    "functions": "it defines functions of its own; export it with functions inlined",
    "training_info": "it holds training graphs; export it for inference",
    "domain": "it uses operators outside the domains `ai.onnx` and `ai.onnx.ml`",
    "operator": "it uses an operator that the standard does not know",
    "opset": "its operator-set versions are not supported",
    "too_many_nodes": "it has too many nodes",
    "nesting": "its graphs are nested too deeply",
    "external_data": "it refers to data outside the file; save it as one file",
    "tensor_size": "a tensor does not have its declared size, or is too large",
    "tensor_type": "a tensor is of a type that is not supported",
    "border_count": "it has too many inputs or outputs",
    "border_name": "the name of an input or output is empty, repeated, too long or reserved",
    "border_shape": "the shape of an input or output is missing or wrong",
    "border_type": "an input or output is no tensor of a type that the protocol knows",
    "not_loadable": "the runtime cannot load it",
    "not_runnable": "the runtime cannot run it on zeros",
    "memory": "it needs more memory than is allowed",
    "time": "it does not finish in the time allowed",
    "crashed": "it crashes the runtime",
}
"""Stable reason codes of `ModelRefused`, with what is said to the model's owner."""


class AdmissionReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admitted model is.

    Attributes:
        inputs: What it takes, in order; -1 where a dimension is open.
        outputs: What it gives, in order.
        opset: Operator-set version by domain.
        node_count: Nodes, those of inner graphs included.
    """

    inputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(max_length=256)]
    outputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(min_length=1, max_length=256)]
    opset: dict[str, int]
    node_count: Annotated[int, msgspec.Meta(ge=0)]

    @property
    def dynamic_batch(self) -> bool:
        """Whether rows can be gathered: all inputs and outputs have an open first dimension."""
        return bool(self.inputs) and all(
            spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs)
        )


def limits_for(model_bytes: int) -> Limits:
    """Return the limits of the examination of a model of that size."""
    return Limits(
        memory_bytes=_BASE_MEMORY + _COPIES * model_bytes,
        cpu_seconds=_CPU_SECONDS,
        wall_seconds=_WALL_SECONDS,
        output_bytes=_REPORT_BYTES,
    )


def admit(
    model: bytes | bytearray | memoryview,
    *,
    run_seconds: float = _RUN_SECONDS,
    run: Callable[..., SandboxResult] = run_sandboxed,
) -> AdmissionReport:
    """Examine a model. Blocks: call it from a worker thread.

    Args:
        model: The ONNX file's bytes.
        run_seconds: Until the trial run is ended.
        run: Runs the examination.

    Returns:
        What the model is.

    Raises:
        ModelRefused: It is not served; `reason` is a key of `REASONS`.
    """
    if len(model) > MODEL_LIMIT:
        raise _refused("too_large")
    arguments = {"run_seconds": run_seconds}
    try:
        result = run(_MODULE, {"model": model}, arguments, limits=limits_for(len(model)))
    except SandboxFailed as failure:
        reason = failure.kind if failure.kind in REASONS else "crashed"
        raise _refused(reason) from failure
    if "refused" in result.report:
        raise _refused(str(result.report["refused"]))
    try:
        return msgspec.convert(result.report, AdmissionReport)
    except msgspec.ValidationError as error:
        raise _refused("crashed") from error


def _refused(reason: str) -> ModelRefused:
    known = reason if reason in REASONS else "crashed"
    return ModelRefused(known, REASONS[known])
