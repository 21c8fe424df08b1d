"""tritonclient over gRPC; argv: folder, address."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import tritonclient.grpc as triton

from tests.corpus.clients.exchange import Arrays, Question, ask_all, authorization

SECONDS = 180.0


def main(address: str) -> None:
    def ask(folder: Path, question: Question, given: Arrays) -> Mapping[str, Any]:
        inputs = [tensor(one.name, one.datatype, given[one.name]) for one in question.inputs]
        outputs = [triton.InferRequestedOutput(one.name) for one in question.outputs]
        answer = client.infer(
            question.model,
            inputs,
            outputs=outputs,
            headers={"authorization": authorization(folder)},
            client_timeout=SECONDS,
        )
        return {one.name: answer.as_numpy(one.name) for one in question.outputs}

    with triton.InferenceServerClient(address) as client:
        ask_all("triton_grpc", ask)


def tensor(name: str, datatype: str, array: Any) -> Any:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array.view(ml_dtypes.bfloat16) if datatype == "BF16" else array)
    return made


if __name__ == "__main__":
    main(*sys.argv[2:])
