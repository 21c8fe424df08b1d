"""Admission: may this ONNX model be served at all?

The whole examination happens in a confined process (`gateway.artifacts.admission_job`): first our
own static pass, then a load and runs by the same runtime that serves, under limits of memory and
time. Nothing of the model is parsed in this process, and the report that comes back is checked as
if the model had written it.

What is left: a graph that behaves here, and takes all time or memory on other inputs. For that
reason every request runs in an engine that its deadline ends (`gateway.engine.served`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from gateway.artifacts.errors import ModelRefused, SandboxFailed
from gateway.artifacts.manifest import TensorSpec, Trial
from gateway.artifacts.model_refusals import REASONS, sentence
from gateway.artifacts.sandbox import Limits, SandboxResult, run_sandboxed

__all__ = ["REASONS", "AdmissionReport", "admit", "limits_for"]

MODEL_LIMIT: Final = (2 << 30) - 1  # protobuf cannot hold more
_MODULE: Final = "gateway.artifacts.admission_job"
_BASE_MEMORY: Final = 1536 << 20  # interpreter, numpy, runtime and its threads' stacks
_COPIES: Final = 6  # input, bytes, two parsed forms, weights, packed weights
_SAMPLE_COPIES: Final = 4  # input, archive, arrays, arrays of the model's types
_RUN_SECONDS: Final = 10.0
_SEARCH_SECONDS: Final = 40.0  # no further input is tried after so long
_CPU_SECONDS: Final = 120
_WALL_SECONDS: Final = 180.0
_REPORT_BYTES: Final = 4 << 20


class AdmissionReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admitted model is.

    Attributes:
        inputs: What it takes, in order; -1 where a dimension is open.
        outputs: What it gives, in order.
        opset: Operator-set version by domain that nodes are of.
        node_count: Nodes, those of inner graphs included.
        trial: Inputs that it ran on.
        takes_missing: Inputs that its trees tell missing values (not-a-number) apart in.
    """

    inputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(max_length=256)]
    outputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(min_length=1, max_length=256)]
    opset: dict[str, int]
    node_count: Annotated[int, msgspec.Meta(ge=0)]
    trial: Trial
    takes_missing: Annotated[tuple[str, ...], msgspec.Meta(max_length=256)] = ()

    @property
    def dynamic_batch(self) -> bool:
        """Whether rows can be gathered: all first dimensions are open, and one and the same."""
        specs = (*(spec for spec in self.inputs if not spec.optional), *self.outputs)
        names = {spec.symbols[0] if spec.symbols else "" for spec in self.inputs}
        return (
            bool(self.inputs) and all(spec.shape[:1] == (-1,) for spec in specs) and len(names) == 1
        )


def limits_for(model_bytes: int, sample_bytes: int = 0) -> Limits:
    """Return the limits of the examination of a model of that size, with a sample of that size."""
    return Limits(
        memory_bytes=_BASE_MEMORY + _COPIES * model_bytes + _SAMPLE_COPIES * sample_bytes,
        cpu_seconds=_CPU_SECONDS,
        wall_seconds=_WALL_SECONDS,
        output_bytes=_REPORT_BYTES,
    )


def admit(
    model: bytes | bytearray | memoryview,
    *,
    sample: bytes | bytearray | memoryview | None = None,
    rows: bytes | bytearray | memoryview | None = None,
    run_seconds: float = _RUN_SECONDS,
    run: Callable[..., SandboxResult] = run_sandboxed,
) -> AdmissionReport:
    """Examine a model. Blocks: call it from a worker thread.

    Args:
        model: The ONNX file's bytes.
        sample: Inputs of the owner's that it must run on: npz, an array by input name.
        rows: A calibration set (npz with `x`), whose first rows are tried first.
        run_seconds: Until a trial run is ended.
        run: Runs the examination.

    Returns:
        What the model is.

    Raises:
        ModelRefused: It is not served; `reason` is a key of `REASONS`.
    """
    if len(model) > MODEL_LIMIT:
        raise _refused("too_large")
    arguments = {"run_seconds": run_seconds, "search_seconds": _SEARCH_SECONDS}
    more = {name: data for name, data in (("sample", sample), ("rows", rows)) if data is not None}
    limits = limits_for(len(model), sum(len(data) for data in more.values()))
    try:
        result = run(_MODULE, {"model": model, **more}, arguments, limits=limits)
    except SandboxFailed as failure:
        reason = failure.kind if failure.kind in REASONS else "crashed"
        raise _refused(reason) from failure
    report = result.report
    if "refused" in report:
        raise _refused(str(report["refused"]), report.get("part"), report.get("found"))
    try:
        return msgspec.convert(report, AdmissionReport)
    except msgspec.ValidationError as error:
        raise _refused("crashed") from error


def _refused(reason: str, part: object = "", found: object = "") -> ModelRefused:
    known = reason if reason in REASONS else "crashed"
    return ModelRefused(known, sentence(known, part, found), REASONS[known].remedy)
