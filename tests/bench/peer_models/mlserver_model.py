"""For MLServer: the file `model.onnx` beside this one, a run a request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):  # type: ignore[misc]  # it has no types here
    """An ONNX model."""

    async def load(self) -> bool:
        """Load the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            Path(__file__).with_name("model.onnx").read_bytes(),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._outputs = [one.name for one in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request."""
        fed = {one.name: np.asarray(NumpyCodec.decode_input(one)) for one in payload.inputs}
        named = zip(self._outputs, self._session.run(None, fed), strict=True)
        outputs = [NumpyCodec.encode_output(name, value) for name, value in named]
        return InferenceResponse(model_name=self.name, outputs=outputs)
