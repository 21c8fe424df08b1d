"""torch's models to ONNX: exported programs, TorchScript, and modules that were pickled whole.

Weights alone (a `state_dict`) are no model: the code that they belong to is not in the file.
Inputs come from the sample; an exported program brings an example of its own.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from gateway.conversion.kinds import kind_of
from gateway.conversion.request import Stuck
from gateway.conversion.rows import Rows
from gateway.conversion.source import Source

OPSET: Final = 18
"""The oldest that both exporters write; all of them are served."""
_EXAMPLE_ROWS: Final = 2  # one row would be taken for a fixed size
_ROWS: Final = "batch"


def load_network(path: Path) -> Any:
    """Load a network; `gateway.conversion.loading` has asked whether it may be unpickled.

    Raises:
        Stuck: `weights_only`: there is no model in the file.
    """
    kind = kind_of(path)
    if kind == "torch_program":
        return torch.export.load(path)
    if kind == "torch_script":
        return torch.jit.load(path, map_location="cpu").eval()
    loaded = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(loaded, torch.nn.Module):
        raise Stuck(
            "weights_only",
            f"{path.name} holds weights, and not the network that they belong to",
            "save the network: `torch.export.save(torch.export.export(model, (example,)), "
            "'model.pt2')`",
        )
    return loaded.eval()


def source_of(network: Any, rows: Rows | None) -> Source:
    """Return a network as what is converted and compared with.

    Raises:
        Stuck: `inputs`: there is no example of what it takes.
    """
    program = isinstance(network, torch.export.ExportedProgram)
    example = _example(network) if program else None
    if rows is not None:
        arrays = list(rows.arrays.values()) if not rows.table else [_matrix(rows)]
        given = [torch.from_numpy(_narrow(array)) for array in arrays]
    elif example is not None:
        given = list(example)
    else:
        raise Stuck(
            "inputs",
            "a network does not say what it takes",
            "give an example: --sample SAMPLE.npz, an array by input in the order of `forward`",
        )
    names = list(rows.arrays) if rows is not None and not rows.table else []
    names = names if len(names) == len(given) else [f"input_{n}" for n in range(len(given))]
    feeds = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
    called = network.module() if program else network

    def converted() -> tuple[Any, list[str]]:
        few = tuple(tensor[:_EXAMPLE_ROWS] if tensor.ndim else tensor for tensor in given)
        single = isinstance(_ask(called, few), torch.Tensor)
        model = _exported(network, few, names, ["output"] if single else None)
        return model, [f"exported by torch {torch.__version__} to opset {OPSET}"]

    def says(outputs: list[str]) -> dict[str, Any]:
        said = _ask(called, tuple(given))
        flat = [said] if isinstance(said, torch.Tensor) else _flat(said)
        arrays = [tensor.detach().cpu().numpy() for tensor in flat]
        return dict(zip(outputs, arrays, strict=False))

    made_by = f"{type(network).__name__} (torch {torch.__version__})"
    return Source(made_by, feeds, converted, says, "of its own example")


def _ask(called: Any, given: tuple[Any, ...]) -> Any:
    """Run a network.

    Raises:
        Stuck: `not_runnable`, with what torch said.
    """
    try:
        with torch.no_grad():
            return called(*given)
    except Exception as fault:  # a network raises what it likes
        said = " ".join(str(fault).split())[:200]
        raise Stuck(
            "not_runnable",
            f"the network itself does not run on these rows: {type(fault).__name__}: {said}",
            "say what it runs on: --sample SAMPLE.npz, an array by input in the order of `forward`",
        ) from None


def _exported(network: Any, example: Any, names: list[str], given: list[str] | None) -> Any:
    import onnx

    passing = io.BytesIO()
    axes = {name: {0: _ROWS} for name, tensor in zip(names, example, strict=True) if tensor.ndim}
    try:
        if isinstance(network, torch.export.ExportedProgram):
            made = torch.onnx.export(
                network, dynamo=True, input_names=names, output_names=given, opset_version=OPSET
            )
            return made.model_proto
        torch.onnx.export(
            network, example, passing, input_names=names, output_names=given, dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    except ModuleNotFoundError:
        raise
    except Exception as fault:  # exporters raise what they like
        said = " ".join(str(fault).split())[:300]
        raise Stuck(
            "unsupported",
            f"torch {torch.__version__} does not export it: {said}",
            "save it as an exported program: `torch.export.save(torch.export.export(…), 'm.pt2')`",
        ) from None
    return onnx.load_model_from_string(passing.getvalue())


def _example(program: Any) -> tuple[Any, ...] | None:
    found = program.example_inputs
    if not found:
        return None
    positional, named = found
    return tuple(positional) if not named else None


def _matrix(rows: Rows) -> NDArray[Any]:
    matrix = rows.matrix
    if matrix is None:
        raise Stuck("sample", "a column of the sample holds texts", "give an npz of arrays")
    return matrix


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Networks compute in float32, and samples are often saved in more."""
    if array.dtype.kind not in "fiub":
        raise Stuck("sample", "an array of the sample holds no numbers", "give numbers")
    return np.ascontiguousarray(array, np.float32 if array.dtype == np.float64 else array.dtype)


def _flat(said: Any) -> list[Any]:
    if isinstance(said, torch.Tensor):
        return [said]
    parts = said.values() if isinstance(said, dict) else said
    return [tensor for part in parts for tensor in _flat(part)]
