"""For Triton's Python backend: the file `model.onnx` beside this one, a run a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort
import triton_python_backend_utils as pb


class TritonPythonModel:
    """Named so by Triton."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = ort.InferenceSession(
            file.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        fed = {n: pb.get_input_tensor_by_name(request, n).as_numpy() for n in self._inputs}
        found = self._session.run(None, fed)
        named = zip(self._outputs, found, strict=True)
        return pb.InferenceResponse([pb.Tensor(name, value) for name, value in named])
