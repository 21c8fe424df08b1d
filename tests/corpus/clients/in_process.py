"""Runs the models without a gateway, and chooses the inputs that all clients send.

Those are of the first plan that the model takes. One thread, as an engine has; all else as
onnxruntime does by default. A model that does not answer the same twice is told as one.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np  # after the switch, which is read at the import
import onnxruntime as ort

from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.trial import make_values
from tests.corpus.clients.exchange import Arrays, Plan, Question, keep, read_questions
from tests.corpus.comparison import difference

BFLOAT16 = 16
"""ONNX's number of the type."""


def main(folder: Path) -> None:
    faults, took = {}, {}
    for question in read_questions(folder):
        try:
            took[question.model] = asdict(run(folder, question))
        except Exception as fault:
            faults[question.model] = f"{type(fault).__name__}: {fault}"
    (folder / "in_process.json").write_text(json.dumps(faults))
    (folder / "took.json").write_text(json.dumps(took))


def run(folder: Path, question: Question) -> Plan:
    """Run a model on the first plan that it takes, keep what goes in and out, return the plan."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(question.file, options, providers=["CPUExecutionProvider"])
    for plan in question.plans:
        given = made(question, plan)
        try:
            answer = called(session, question, given)
            break
        except Exception:
            if plan == question.plans[-1]:
                raise
    again = called(session, question, given)
    if any(difference(name, array, again[name]) for name, array in answer.items()):
        raise ValueError("does not answer the same twice")
    keep(folder / f"{question.model}.in.npz", question.inputs, given)
    keep(folder / f"{question.model}.in_process.npz", question.outputs, answer)
    return plan


def made(question: Question, plan: Plan) -> Arrays:
    specs = [
        TensorSpec(name=one.name, datatype=one.datatype, shape=tuple(plan.shapes[one.name]))  # type: ignore[arg-type]
        for one in question.inputs
    ]
    return make_values(specs, plan.shapes, plan.values)  # type: ignore[arg-type]


def called(session: Any, question: Question, given: Arrays) -> Arrays:
    names = [output.name for output in question.outputs]
    half = {one.name for one in (*question.inputs, *question.outputs) if one.datatype == "BF16"}
    if not half:
        return dict(zip(names, session.run(names, given), strict=True))
    values = {
        name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, BFLOAT16)
        if name in half
        else ort.OrtValue.ortvalue_from_numpy(array)
        for name, array in given.items()
    }
    results = session.run_with_ort_values(names, values)
    return {name: np.array(result.numpy()) for name, result in zip(names, results, strict=True)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
