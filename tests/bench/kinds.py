"""`python -m tests.bench.kinds`: engines of another kind beside the plain one, in one run.

Installs `onnxruntime-openvino` into an environment of its own (443 MB), starts confined engines of
both kinds with the same three models, and tells processor time a row, memory and how far the
outputs are apart. What the trial at publication would choose is told as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from gateway.engine.forking import ForkServer
from gateway.engine.memory_files import seal
from gateway.engine.ports import PLAIN, EngineKind
from gateway.engine.process import Border, Bounds, EngineProcess
from gateway.engine.trial import difference, try_out
from tests.bench.processes import cpu_seconds

OPENVINO: Final = "openvino"
PROVIDERS: Final = ("OpenVINOExecutionProvider", "CPUExecutionProvider")
ROWS: Final = (1, 32)
SECONDS: Final = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.kinds", description=__doc__)
    parser.add_argument("--dir", type=Path, help="where the environment is made, or is already")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # engines of root run as nobody, and load libraries late
        python = environment(options.dir or Path(folder) / "openvino")
        servers = {
            PLAIN: ForkServer(EngineKind()),
            OPENVINO: ForkServer(EngineKind(OPENVINO, python, PROVIDERS)),
        }
        try:
            figures = {name: measure(servers, model) for name, model in models().items()}
        finally:
            for server in servers.values():
                server.close()
    print(json.dumps(figures)) if options.json else show(figures)
    return 0


def environment(folder: Path) -> Path:
    """Make an environment with the other runtime, unless it is there; return its interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        packages = ["onnxruntime-openvino", "numpy"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def models() -> dict[str, onnx.ModelProto]:
    """Three models with random weights: layers of 512, pictures of 224 x 224, 30 features."""
    chance = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        values = chance.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    def made(nodes: list[Any], weights: list[Any], size: list[Any], out: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *size])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", out])],
            weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    layers, convolutions, at = [], [], "x"
    for number in range(3):
        layers += [
            helper.make_node("MatMul", [at, f"w{number}"], [f"m{number}"]),
            helper.make_node("Relu", [f"m{number}"], [at := f"r{number}"]),
        ]
    layers.append(helper.make_node("Softmax", [at], ["y"], axis=1))
    at, channels, kernels = "x", 3, []
    for number, wide in enumerate((32, 64, 128)):
        kernels.append(weight(f"k{number}", wide, channels, 3, 3))
        convolutions += [
            helper.make_node(
                "Conv", [at, f"k{number}"], [f"c{number}"], strides=[2, 2], pads=[1, 1, 1, 1]
            ),
            helper.make_node("Relu", [f"c{number}"], [at := f"r{number}"]),
        ]
        channels = wide
    convolutions += [
        helper.make_node("GlobalAveragePool", [at], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "last"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=1),
    ]
    line = [
        helper.make_node("MatMul", ["x", "w"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=1),
    ]
    return {
        "layers of 512": made(layers, [weight(f"w{n}", 512, 512) for n in range(3)], [512], 512),
        "pictures": made(convolutions, [*kernels, weight("last", 128, 10)], [3, 224, 224], 10),
        "30 features": made(line, [weight("w", 30, 2)], [30], 2),
    }


def measure(servers: dict[str, ForkServer], model: onnx.ModelProto) -> dict[str, Any]:
    def start(kind: str) -> EngineProcess:
        descriptor = seal(model.SerializeToString())
        try:
            border = Border({"x": "FP32"}, ("y",))
            return EngineProcess(servers[kind], border, descriptor, Bounds(), 60.0)
        finally:
            os.close(descriptor)

    size = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    x = np.random.default_rng(1).normal(size=(max(ROWS), *size)).astype(np.float32)
    found: dict[str, Any] = {}
    answers: dict[str, list[NDArray[Any]]] = {}
    for kind in servers:
        engine = start(kind)
        try:
            answers[kind] = engine.run({"x": x}, 60.0)
            us = {str(rows): cost(engine, x[:rows]) for rows in ROWS}
            found[kind] = {"us_a_row": us, "resident_mb": engine.resident() >> 20}
        finally:
            engine.close()
    found["difference"] = difference(answers[PLAIN], answers[OPENVINO])
    trial = try_out(start, [OPENVINO], {"x": x[:4]}, by_row=True, monotonic=time.monotonic)
    found["chosen"] = {"kind": trial.kind, "rows": trial.rows, "refused": trial.refused}
    return found


def cost(engine: EngineProcess, x: NDArray[Any]) -> float:
    """Return the engine's processor time in microseconds a row."""
    engine.run({"x": x}, 60.0)
    before, runs, until = cpu_seconds(engine.pid), 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        engine.run({"x": x}, 60.0)
        runs += 1
    return round((cpu_seconds(engine.pid) - before) / (runs * len(x)) * 1e6, 1)


def show(figures: dict[str, dict[str, Any]]) -> None:
    table = Table(title="processor µs a row, in confined engines")
    columns = [f"{kind}, {rows}" for kind in (PLAIN, OPENVINO) for rows in ROWS]
    for column in ("", *columns, "apart", "MB", "chosen"):
        table.add_column(column)
    for name, row in figures.items():
        cells = [str(row[k]["us_a_row"][str(rows)]) for k in (PLAIN, OPENVINO) for rows in ROWS]
        memory = " / ".join(str(row[kind]["resident_mb"]) for kind in (PLAIN, OPENVINO))
        chosen = f"{row['chosen']['kind']}, {row['chosen']['rows']} rows"
        table.add_row(name, *cells, f"{row['difference']:.1e}", memory, chosen)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
