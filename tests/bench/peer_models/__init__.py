"""What the peers run: the same ONNX file by the same onnxruntime, in their own environments."""
