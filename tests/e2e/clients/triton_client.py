"""What an unchanged tritonclient gets; argv: address, token, model. Prints one JSON object."""

from __future__ import annotations

import io
import json
import sys
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
        except InferenceServerException as refusal:
            said["refusal"] = [refusal.status(), refusal.message()]
        try:
            infer(client, model, x, headers, binary=True)
        except InferenceServerException as refusal:
            said["infer_refusal"] = [refusal.status(), refusal.message()]
    return said


def infer(
    client: Any, model: str, x: Any, headers: dict[str, str], *, binary: bool, **how: str
) -> list[float]:
    tensor = triton.InferInput("image", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary)
    outputs = None if how else [wanted]
    answer = client.infer(model, [tensor], headers=headers, outputs=outputs, **how)
    values: list[float] = answer.as_numpy("probabilities").ravel().tolist()
    return values


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
