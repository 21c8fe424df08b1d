"""`python -m tests.bench.grpc`: what a request costs over gRPC, beside other servers, in one run.

The load is grpc.aio's, 32 calls at a time on one connection, 30 features raw. Processor time of a
server is that of its process and its children. Other servers are started by hand and named:
`--peer mlserver:PORT:PID`; each must have a model `risk` with an input `features`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from rich.console import Console

from gateway.demo.cast import Cast
from gateway.demo.datasets import hospitals
from gateway.demo.models import breast_cancer_model
from gateway.demo.narrator import Narrator
from gateway.demo.place import prepare
from gateway.demo.running import start_gateway
from tests.bench.__main__ import MODEL, _publish
from tests.gateway.grpc.peer import INFER
from tests.gateway.grpc.protocol_buffers import message

CALLS = 32
TICKS = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> float:
    """Processor seconds of a process and its children that live."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    total = (int(fields[11]) + int(fields[12])) / TICKS
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += sum(spent(int(child)) for child in (task / "children").read_text().split())
    return total


async def load(port: int, token: str, rows: Any, count: int) -> None:
    """Make `count` calls."""
    made = message("ModelInferRequest")
    made.model_name = MODEL
    made.inputs.add(name="features", datatype="FP32", shape=list(rows.shape))
    made.raw_input_contents.append(rows.astype("<f4").tobytes())
    content = made.SerializeToString()
    metadata = [("authorization", f"Bearer {token}")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(INFER)

        async def caller() -> None:
            for _ in range(count // CALLS):
                await infer(content, metadata=metadata)

        await asyncio.gather(*[caller() for _ in range(CALLS)])


def measure(name: str, port: int, pid: int, token: str, rows: Any, count: int) -> None:
    """Print what a call costs a server."""

    async def run() -> tuple[float, float]:
        await load(port, token, rows, 64 * CALLS)
        before, started = spent(pid), time.perf_counter()
        await load(port, token, rows, count)
        return spent(pid) - before, time.perf_counter() - started

    used, seconds = asyncio.run(run())
    print(f"{name}: {used / count * 1e6:.0f} us processor/call, {count / seconds:.0f} calls/s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.grpc", description=__doc__)
    parser.add_argument("--peer", action="append", default=[], help="NAME:PORT:PID")
    parser.add_argument("--calls", type=int, default=16_000)
    options = parser.parse_args()
    os.environ["SEALGATE_FEDERATION"] = "off"
    data = hospitals()
    model = breast_cancer_model(next(iter(data.sites.values())))
    rows = np.asarray(data.test.x[:1])
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder) / "place")
        gateway = stack.enter_context(start_gateway(place))
        cast = Cast(place, Narrator(Console(stderr=True)))
        cast.assemble()
        _publish(cast, Path(folder), data, model)
        token = cast.token("clinic-app")
        for _ in range(3):
            measure("sealgate", place.grpc_port, gateway.pid, token, rows, options.calls)
            for peer in options.peer:
                name, port, pid = peer.split(":")
                measure(name, int(port), int(pid), token, rows, options.calls // 4)


if __name__ == "__main__":
    main()
