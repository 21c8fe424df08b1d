"""tritonclient over HTTP; argv: folder, address, `binary` or `json`.

It asks for the metadata, too, and holds what goes in and out to them.
"""

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
from tests.corpus.comparison import misdescribed

SECONDS = 180.0


class WrongMetadata(Exception):
    """A tensor is not as the gateway describes it."""


def main(address: str, form: str) -> None:
    binary = form == "binary"

    def ask(folder: Path, question: Question, given: Arrays) -> Mapping[str, Any]:
        inputs = [tensor(one.name, one.datatype, given[one.name]) for one in question.inputs]
        outputs = [
            triton.InferRequestedOutput(one.name, binary_data=binary) for one in question.outputs
        ]
        headers = {"Authorization": authorization(folder)}
        # The client writes its own headers into those that it is given.
        answer = client.infer(question.model, inputs, outputs=outputs, headers=dict(headers))
        got = {one.name: answer.as_numpy(one.name) for one in question.outputs}
        told = client.get_model_metadata(question.model, headers=headers)
        wrong = misdescribed(told["inputs"], given) or misdescribed(told["outputs"], got)
        if wrong:
            raise WrongMetadata(wrong)
        return got

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
