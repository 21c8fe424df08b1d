"""tritonclient over HTTP; argv: folder, address, `binary` or `json`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import tritonclient.http as triton

from tests.corpus.clients.exchange import (
    Arrays,
    CannotSend,
    Question,
    ask_all,
    authorization,
)

SECONDS = 180.0


def main(address: str, form: str) -> None:
    binary = form == "binary"

    def ask(folder: Path, question: Question, given: Arrays) -> Mapping[str, Any]:
        inputs = [tensor(one.name, one.datatype, given[one.name]) for one in question.inputs]
        outputs = [
            triton.InferRequestedOutput(one.name, binary_data=binary) for one in question.outputs
        ]
        answer = client.infer(
            question.model,
            inputs,
            outputs=outputs,
            headers={"Authorization": authorization(folder)},
        )
        return {one.name: answer.as_numpy(one.name) for one in question.outputs}

    def tensor(name: str, datatype: str, array: Any) -> Any:
        made = triton.InferInput(name, list(array.shape), datatype)
        if datatype == "BF16":
            if not binary:
                raise CannotSend("BF16 in JSON")
            array = array.view(ml_dtypes.bfloat16)
        made.set_data_from_numpy(array, binary_data=binary)
        return made

    times = {"connection_timeout": SECONDS, "network_timeout": SECONDS}
    with triton.InferenceServerClient(address, **times) as client:
        ask_all(f"triton_http_{form}", ask)


if __name__ == "__main__":
    main(*sys.argv[2:])
