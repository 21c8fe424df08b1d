"""kserve's REST client, tensors in binary form both ways; argv: folder, URL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kserve import InferenceRESTClient, InferRequest, RESTConfig

from tests.corpus.clients.exchange import Arrays, Question, ask_all, authorization
from tests.corpus.clients.kserve_tensors import answered, tensors

SECONDS = 180


def main(url: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=SECONDS))

    def ask(folder: Path, question: Question, given: Arrays) -> Mapping[str, Any]:
        request = InferRequest(
            model_name=question.model,
            infer_inputs=tensors(question, given),
            parameters={"binary_data_output": True},
        )
        headers = {"Authorization": authorization(folder)}
        call = client.infer(url, request, model_name=question.model, headers=headers)
        return answered(loop.run_until_complete(call))

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        ask_all("kserve_rest", ask)


if __name__ == "__main__":
    main(*sys.argv[2:])
