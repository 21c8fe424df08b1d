"""For KServe: `python kserve_model.py FILE NAME --http_port=… --grpc_port=…`, a run a request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

_DATATYPES = {"float32": "FP32", "int64": "INT64"}


class OnnxModel(Model):  # type: ignore[misc]  # it has no types here
    """An ONNX model."""

    def __init__(self, name: str, file: Path) -> None:
        super().__init__(name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            file.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [one.name for one in self._session.get_outputs()]
        self.ready = True

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        """Answer a request."""
        fed = {one.name: one.as_numpy() for one in payload.inputs}
        outputs = []
        for name, value in zip(self._outputs, self._session.run(None, fed), strict=True):
            output = InferOutput(name, list(value.shape), _DATATYPES[str(value.dtype)])
            output.set_data_from_numpy(value, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id or "", self.name, outputs)


if __name__ == "__main__":
    ModelServer().start([OnnxModel(sys.argv[2], Path(sys.argv[1]))])
