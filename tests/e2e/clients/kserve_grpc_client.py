"""What an unchanged InferenceGRPCClient gets. argv: address, token, model; prints JSON."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main(address: str, token: str, model: str) -> dict[str, Any]:
    headers = [("authorization", f"Bearer {token}")] if token else []
    x = np.load(io.BytesIO(sys.stdin.buffer.read()))
    client = InferenceGRPCClient(address)
    said: dict[str, Any] = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
    }
    try:
        said["model_ready"] = await client.is_model_ready(model, headers=headers)
        for name, binary in (("typed", False), ("raw", True)):
            said[name] = await infer(client, model, x, headers, binary=binary)
    except grpc.RpcError as refusal:
        said["refusal"] = [str(refusal.code()), refusal.details()]
    try:
        await infer(client, model, x, headers, binary=True)
    except grpc.RpcError as refusal:
        said["infer_refusal"] = [str(refusal.code()), refusal.details()]
    await client.close()
    return said


async def infer(
    client: Any, model: str, x: Any, headers: list[tuple[str, str]], *, binary: bool
) -> list[float]:
    tensor = InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    request = InferRequest(model_name=model, infer_inputs=[tensor])
    answer = await client.infer(request, headers=headers)
    values: list[float] = answer.outputs[0].as_numpy().ravel().tolist()
    return values


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
