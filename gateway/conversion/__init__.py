"""What a model's owner runs at home: other makers' models to ONNX that a gateway serves.

Nothing of this runs in a gateway. `sealgate model convert` starts `python -m gateway.conversion`,
a process of the owner's, which may hold whatever library the owner trains with.
"""
