"""kserve's gRPC client; argv: folder, address."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kserve import InferenceGRPCClient, InferRequest

from tests.corpus.clients.exchange import Arrays, Question, ask_all, authorization
from tests.corpus.clients.kserve_tensors import answered, tensors

SECONDS = 180.0


async def connected(address: str) -> Any:
    """Its channel wants a running loop."""
    return InferenceGRPCClient(address, timeout=SECONDS)


def main(address: str) -> None:
    def ask(folder: Path, question: Question, given: Arrays) -> Mapping[str, Any]:
        request = InferRequest(model_name=question.model, infer_inputs=tensors(question, given))
        headers = [("authorization", authorization(folder))]
        return answered(runner.run(client.infer(request, headers=headers)))

    with asyncio.Runner() as runner:
        client = runner.run(connected(address))
        ask_all("kserve_grpc", ask)
        runner.run(client.close())


if __name__ == "__main__":
    main(*sys.argv[2:])
