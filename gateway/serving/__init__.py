"""The way of an inference request, and the Open Inference Protocol."""
