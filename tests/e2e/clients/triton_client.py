"""What an unchanged tritonclient gets; argv: address, token, model. Prints one JSON object."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def main(address: str, token: str, model: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    x = np.load(io.BytesIO(sys.stdin.buffer.read()))
    with triton.InferenceServerClient(address) as client:
        said: dict[str, Any] = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "server": client.get_server_metadata(),
        }
        try:
            said["index"] = client.get_model_repository_index(headers=headers)
            said["model_ready"] = client.is_model_ready(model, headers=headers)
            said["metadata"] = client.get_model_metadata(model, headers=headers)
            said["config"] = client.get_model_config(model, headers=headers)
            said["stats"] = client.get_inference_statistics(model, headers=headers)
            said["json"] = infer(client, model, x, headers, binary=False)
            said["binary"] = infer(client, model, x, headers, binary=True)
            said["version"] = infer(client, model, x, headers, binary=True, model_version="1.0")
            for coding in ("gzip", "deflate"):
                how = {f"{way}_compression_algorithm": coding for way in ("request", "response")}
                for binary in (False, True):
                    said[f"{coding} {binary}"] = infer(
                        client, model, x, headers, binary=binary, **how
                    )
            for binary in (False, True):
                said[f"classes {binary}"] = classes(client, model, x, headers, binary=binary)
            said["counted"] = client.get_inference_statistics(headers=headers)
            said["mistakes"] = mistakes(client, model, x, headers)
        except InferenceServerException as refusal:
            said["refusal"] = [refusal.status(), refusal.message()]
        try:
            infer(client, model, x, headers, binary=True)
        except InferenceServerException as refusal:
            said["infer_refusal"] = [refusal.status(), refusal.message()]
    return said


def classes(
    client: Any, model: str, x: Any, headers: dict[str, str], *, binary: bool
) -> list[list[str]]:
    tensor = triton.InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)
    answer = client.infer(model, [tensor], headers=dict(headers), outputs=[wanted])
    told = answer.as_numpy("probabilities").tolist()
    return [[one.decode() if isinstance(one, bytes) else one for one in row] for row in told]


def mistakes(client: Any, model: str, x: Any, headers: dict[str, str]) -> dict[str, Any]:
    """What the client shows of each of some mistakes."""
    tensor = triton.InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    wide = triton.InferInput("image", [1, 2], "FP64")
    wide.set_data_from_numpy(np.zeros((1, 2)))
    shared = triton.InferInput("image", list(x.shape), "FP32")
    shared.set_shared_memory("region", x.nbytes)
    unknown = triton.InferRequestedOutput("nothing")
    asks: dict[str, Callable[[], object]] = {
        "output": lambda: client.infer(model, [tensor], headers=dict(headers), outputs=[unknown]),
        "datatype": lambda: client.infer(model, [wide], headers=dict(headers)),
        "shared memory": lambda: client.infer(model, [shared], headers=dict(headers)),
        "sequence": lambda: client.infer(model, [tensor], headers=dict(headers), sequence_id=7),
        "absent": lambda: client.infer("absent", [tensor], headers=dict(headers)),
        "loading": lambda: client.load_model(model, headers=dict(headers)),
        "token": lambda: client.infer(model, [tensor]),
    }
    shown = {}
    for name, ask in asks.items():
        try:
            ask()
        except InferenceServerException as refusal:
            shown[name] = [refusal.status(), refusal.message()]
    return shown


def infer(
    client: Any, model: str, x: Any, headers: dict[str, str], *, binary: bool, **how: str
) -> list[float]:
    tensor = triton.InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary)
    outputs = None if "model_version" in how else [wanted]
    # The client writes its own headers into those that it is given.
    answer = client.infer(model, [tensor], headers=dict(headers), outputs=outputs, **how)
    values: list[float] = answer.as_numpy("probabilities").ravel().tolist()
    return values


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
