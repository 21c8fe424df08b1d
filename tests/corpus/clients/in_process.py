"""Runs the models without a gateway, and chooses the inputs that all clients send.

Those are the first contents that the model takes: small random numbers, else what it was admitted
with. One thread, as an engine has; all else as onnxruntime does by default. A model that does not
answer the same twice is told as one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np  # after the switch, which is read at the import
import onnxruntime as ort

from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.trial import make_values
from tests.corpus.clients.exchange import Arrays, Question, keep, read_questions

BFLOAT16 = 16
"""ONNX's number of the type."""


def main(folder: Path) -> None:
    faults = {}
    for question in read_questions(folder):
        try:
            run(folder, question)
        except Exception as fault:
            faults[question.model] = f"{type(fault).__name__}: {fault}"
    (folder / "in_process.json").write_text(json.dumps(faults))


def run(folder: Path, question: Question) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(question.file, options, providers=["CPUExecutionProvider"])
    specs = [
        TensorSpec(name=one.name, datatype=one.datatype, shape=tuple(question.shapes[one.name]))  # type: ignore[arg-type]
        for one in question.inputs
    ]
    for values in question.tried:
        given = make_values(specs, question.shapes, values)  # type: ignore[arg-type]
        try:
            answer = called(session, question, given)
            break
        except Exception:
            if values == question.tried[-1]:
                raise
    again = called(session, question, given)
    if any(answer[name].tobytes() != again[name].tobytes() for name in answer
           if answer[name].dtype.kind != "O"):  # fmt: skip
        raise ValueError("does not answer the same twice")
    keep(folder / f"{question.model}.in.npz", question.inputs, given)
    keep(folder / f"{question.model}.in_process.npz", question.outputs, answer)


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
