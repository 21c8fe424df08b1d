"""What an unchanged InferenceRESTClient gets; argv: URL, token, model. Prints one JSON object."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main(url: str, token: str, model: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    x = np.load(io.BytesIO(sys.stdin.buffer.read()))
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    said: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
    }
    try:
        said["model_ready"] = await client.is_model_ready(url, model, headers=headers)
        for name, binary in (("json", False), ("binary", True)):
            said[name] = await infer(client, url, model, x, headers, binary=binary)
    except httpx.HTTPStatusError as refusal:
        answer = refusal.response
        said["refusal"] = [answer.status_code, answer.headers.get("www-authenticate")]
    try:
        await infer(client, url, model, x, headers, binary=True)
    except httpx.HTTPStatusError as refusal:
        answer = refusal.response
        challenge = answer.headers.get("www-authenticate")
        problem = answer.json()
        assert problem.pop("request_id") == answer.headers["sealgate-request-id"]
        said["infer_refusal"] = [answer.status_code, challenge, problem]
    return said


async def infer(
    client: Any, url: str, model: str, x: Any, headers: dict[str, str], *, binary: bool
) -> list[float]:
    tensor = InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    request = InferRequest(model_name=model, infer_inputs=[tensor])
    answer = await client.infer(url, request, model_name=model, headers=headers)
    values: list[float] = answer.outputs[0].as_numpy().ravel().tolist()
    return values


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
