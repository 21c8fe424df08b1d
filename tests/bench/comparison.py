"""The same requests to sealgate and to its peers, one contender after the other, in one run."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.image_model import SHAPE
from tests.bench.load import Measured, post, run
from tests.bench.peers import PEERS, PeerMissing, serving

WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of one kind over a number of connections.

    Attributes:
        name: What the report calls it.
        model: Name of the model.
        connections: How many requests are under way at a time.
        body: What is posted.
        headers: Sent with it.
    """

    name: str
    model: str
    connections: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contender:
    """A server: the process that its family hangs on, its port, and what a request must carry."""

    name: str
    pid: int
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    models: frozenset[str] = frozenset({"risk", "image"})


Figures = dict[str, dict[str, dict[str, float]]]
"""Contender → workload → figure → median."""


def workloads(row: np.ndarray) -> list[Workload]:
    """Return the comparison's workloads: one row as JSON, and one image as binary tensor."""
    json_body = json.dumps({"inputs": [_tensor("features", row) | {"data": row.ravel().tolist()}]})
    image = np.random.default_rng(7).random((1, *SHAPE), np.float32)
    described = {
        "inputs": [_tensor("image", image) | {"parameters": {"binary_data_size": image.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(described).encode()
    binary = {"inference-header-content-length": str(len(head))}
    found = [
        Workload(f"row, c={many}", "risk", many, json_body.encode()) for many in (1, 8, 32, 256)
    ]
    return [*found, Workload("image, c=8", "image", 8, head + image.tobytes(), binary)]


def _tensor(name: str, values: np.ndarray) -> dict[str, object]:
    return {"name": name, "shape": list(values.shape), "datatype": "FP32"}


def with_peers(
    stack: ExitStack, cache: Path, folder: Path, models: Mapping[str, bytes], core: int
) -> list[Contender]:
    """Start the peers that can be had; tell of the others on the error output."""
    found = []
    for number, peer in enumerate(PEERS):
        try:
            server = stack.enter_context(
                serving(peer, cache, folder / f"peer{number}", models, core)
            )
        except PeerMissing as missing:
            print(f"{peer.name} is left out: {missing}", file=sys.stderr)
        else:
            found.append(Contender(peer.name, server.pid, server.port))
    return found


def compare(
    contenders: Sequence[Contender], loads: Sequence[Workload], seconds: float, rounds: int
) -> Figures:
    """Measure each contender in turn, `rounds` times over, and return the medians."""
    found: dict[str, dict[str, list[Measured]]] = {
        one.name: {load.name: [] for load in loads if load.model in one.models}
        for one in contenders
    }
    for _ in range(rounds):
        for contender in contenders:
            for load in loads:
                if load.model in contender.models:
                    measured = _measure(contender, load, seconds)
                    found[contender.name][load.name].append(measured)
    return {
        name: {load: _medians(measured) for load, measured in by_load.items()}
        for name, by_load in found.items()
    }


def _measure(contender: Contender, load: Workload, seconds: float) -> Measured:
    headers = {"content-type": "application/json", **load.headers, **contender.headers}
    if "inference-header-content-length" in load.headers:
        headers["content-type"] = "application/octet-stream"
    message = post(f"/v2/models/{load.model}/infer", load.body, headers)

    def once(duration: float) -> Measured:
        return asyncio.run(
            run(
                contender.port,
                message,
                pid=contender.pid,
                seconds=duration,
                connections=load.connections,
            )
        )

    once(min(WARM_SECONDS, seconds))
    return once(seconds)


def _medians(found: Iterable[Measured]) -> dict[str, float]:
    measured = list(found)
    return {
        name: statistics.median(getattr(one, name) for one in measured)
        for name in ("cpu_us", "rate", "p50_ms", "p99_ms")
    } | {"refused": float(sum(one.refused for one in measured))}


def show(figures: Figures, loads: Sequence[Workload]) -> None:
    """Print a table for each figure."""
    titles = {
        "cpu_us": "CPU µs a request, all processes of the server",
        "rate": "requests (rows) a second, one core",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
    }
    console = Console()
    for key, title in titles.items():
        table = Table(title=title)
        table.add_column("")
        for load in loads:
            table.add_column(load.name, justify="right")
        for name, by_load in figures.items():
            table.add_row(name, *(_cell(by_load.get(load.name), key) for load in loads))
        console.print(table)


def _cell(found: Mapping[str, float] | None, key: str) -> str:
    """Return a figure; a load that was refused has none."""
    if found is None:
        return ""
    if not found["rate"]:
        return "refused"
    return f"{found[key]:.1f}" if key.endswith("_ms") else f"{found[key]:.0f}"
