"""Stock clients with tokens that are bound to a key.

argv: kind, address (with its scheme where the client wants one), profile, model. Prints JSON.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Any

import numpy as np

from gateway.client import SealgateAuth


def tensors(make: Any, x: Any) -> list[Any]:
    tensor = make("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    return [tensor]


def triton(address: str, profile: str, model: str, x: Any) -> Any:
    import tritonclient.http as library

    from gateway.client.triton import SealgatePlugin

    shared = {"x-mine": "1"}
    with library.InferenceServerClient(address, concurrency=4) as client:
        client.register_plugin(SealgatePlugin(profile, client))
        assert client.is_server_ready()
        assert client.is_model_ready(model)
        names = [entry["name"] for entry in client.get_model_repository_index()]
        metadata = client.get_model_metadata(model)["name"]
        given = tensors(library.InferInput, x)
        many = [client.async_infer(model, given, headers=shared) for _ in range(6)]
        told = [one.get_result().as_numpy("probabilities").ravel().tolist() for one in many]
        assert not {"authorization", "dpop"} & set(shared), "the caller's headers are its own"
        client.unregister_plugin()
        try:
            client.get_model_metadata(model)
        except library.InferenceServerException as refusal:
            status = refusal.status()
    return {"index": names, "metadata": metadata, "answers": told, "afterwards": status}


async def triton_aio(address: str, profile: str, model: str, x: Any) -> Any:
    import tritonclient.http.aio as library

    from gateway.client.triton import SealgatePlugin

    async with library.InferenceServerClient(address) as client:
        client.register_plugin(SealgatePlugin(profile, client))
        given = tensors(library.InferInput, x)
        many = await asyncio.gather(*(client.infer(model, given) for _ in range(6)))
        return {"answers": [one.as_numpy("probabilities").ravel().tolist() for one in many]}


def triton_grpc(address: str, profile: str, model: str, x: Any) -> Any:
    import tritonclient.grpc as library

    from gateway.client.grpc import channel_credentials

    creds = channel_credentials(profile)
    with library.InferenceServerClient(address, creds=creds) as client:
        assert client.is_model_ready(model)
        given = tensors(library.InferInput, x)
        many = [client.infer(model, given) for _ in range(3)]
    return {"answers": [one.as_numpy("probabilities").ravel().tolist() for one in many]}


async def kserve(address: str, profile: str, model: str, x: Any) -> Any:
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    auth = SealgateAuth.from_profile(profile)
    client = InferenceRESTClient(RESTConfig(protocol="v2", auth=auth))
    assert await client.is_model_ready(address, model)
    request = InferRequest(model_name=model, infer_inputs=tensors(InferInput, x))
    many = [await client.infer(address, request, model_name=model) for _ in range(3)]
    return {"answers": [one.outputs[0].as_numpy().ravel().tolist() for one in many]}


async def kserve_grpc(address: str, profile: str, model: str, x: Any) -> Any:
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    from gateway.client.grpc import channel_credentials

    client = InferenceGRPCClient(address, creds=channel_credentials(profile))
    request = InferRequest(model_name=model, infer_inputs=tensors(InferInput, x))
    answer = await client.infer(request)
    await client.close()
    return {"answers": [answer.outputs[0].as_numpy().ravel().tolist()]}


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    rows = np.load(io.BytesIO(sys.stdin.buffer.read()))
    said = globals()[kind](*given, rows)
    print(json.dumps(asyncio.run(said) if asyncio.iscoroutine(said) else said))
