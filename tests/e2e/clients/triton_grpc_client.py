"""What an unchanged tritonclient.grpc gets; argv: address, token, model. Prints one JSON object."""

from __future__ import annotations

import io
import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def main(address: str, token: str, model: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    x = np.load(io.BytesIO(sys.stdin.buffer.read()))
    with triton.InferenceServerClient(address) as client:
        said: dict[str, Any] = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "server": client.get_server_metadata(as_json=True),
        }
        asked = {"headers": headers, "as_json": True}
        try:
            said["model_ready"] = client.is_model_ready(model, headers=headers)
            said["index"] = client.get_model_repository_index(**asked)
            said["metadata"] = client.get_model_metadata(model, **asked)
            said["config"] = client.get_model_config(model, **asked)
            said["stats"] = client.get_inference_statistics(model, **asked)
            said["raw"] = infer(client, model, x, headers)
            for name in ("gzip", "deflate"):
                said[name] = infer(client, model, x, headers, compression_algorithm=name)
            said["classes"] = classes(client, model, x, headers)
            said["classes of a stream"] = stream_classes(client, model, x, headers)
            said["version"] = infer(client, model, x, headers, model_version="1.0")
            said["stream"] = stream(client, [model] * 20, x, headers)
            mixed = stream(client, [model, "absent", model], x, headers)
            said["mixed"] = ["" if isinstance(values, list) else values for _, values in mixed]
        except InferenceServerException as refusal:
            said["refusal"] = [refusal.status(), refusal.message()]
        try:
            infer(client, model, x, headers)
        except InferenceServerException as refusal:
            said["infer_refusal"] = [refusal.status(), refusal.message()]
        try:
            client.load_model(model, headers=headers)
        except InferenceServerException as refusal:
            said["load"] = refusal.status()
    return said


def image(x: Any) -> Any:
    tensor = triton.InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    return tensor


def infer(client: Any, model: str, x: Any, headers: dict[str, str], **how: str) -> list[float]:
    outputs = [triton.InferRequestedOutput("probabilities")]
    answer = client.infer(model, [image(x)], headers=headers, outputs=outputs, **how)
    values: list[float] = answer.as_numpy("probabilities").ravel().tolist()
    return values


def classes(client: Any, model: str, x: Any, headers: dict[str, str]) -> list[list[str]]:
    outputs = [triton.InferRequestedOutput("probabilities", class_count=3)]
    return texts(client.infer(model, [image(x)], headers=headers, outputs=outputs))


def stream_classes(client: Any, model: str, x: Any, headers: dict[str, str]) -> list[list[str]]:
    heard: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: heard.put((result, error)), headers=headers)
    outputs = [triton.InferRequestedOutput("probabilities", class_count=3)]
    client.async_stream_infer(model, [image(x)], outputs=outputs)
    client.stop_stream()
    result, error = heard.get(timeout=30)
    assert error is None, error.message()
    return texts(result)


def texts(answer: Any) -> list[list[str]]:
    return [[one.decode() for one in row] for row in answer.as_numpy("probabilities")]


def stream(client: Any, models: list[str], x: Any, headers: dict[str, str]) -> list[list[Any]]:
    """Ask on one stream; each answer is the caller's id and values, or no id and the error."""
    heard: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: heard.put((result, error)), headers=headers)
    for number, model in enumerate(models):
        client.async_stream_infer(model, [image(x)], request_id=str(number))
    client.stop_stream()
    said = []
    for _ in models:
        result, error = heard.get(timeout=30)
        if error is not None:
            said.append(["", error.message()])
            continue
        values = result.as_numpy("probabilities").ravel().tolist()
        said.append([result.get_response().id, values])
    return said


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
