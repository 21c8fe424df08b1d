"""What one could write in an afternoon: a bare ASGI route around onnxruntime, with no security.

Run as `python -m tests.bench.bare MODEL PORT`; the comparison of `make bench`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import uvicorn

NAMES = {"float32": "FP32", "int64": "INT64"}


def application(model: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        tensor = orjson.loads(body)["inputs"][0]
        x = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        found = session.run(None, {tensor["name"]: x})
        answer = orjson.dumps(
            {
                "model_name": "m",
                "outputs": [
                    {
                        "name": name,
                        "datatype": NAMES[y.dtype.name],
                        "shape": list(y.shape),
                        "data": y.ravel(),
                    }
                    for name, y in zip(outputs, found, strict=True)
                ],
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[1]).read_bytes()),
        port=int(sys.argv[2]),
        log_level="error",
        access_log=False,
    )
