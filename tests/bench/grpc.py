"""`python -m tests.bench.grpc`: what a request costs over gRPC, beside other servers, in one run.

The load is grpc.aio's on one connection, 30 features raw; it has one core, and the gateway another.
Processor time of a server is that of all its processes. Other servers are started by hand, on the
gateway's core (`taskset -c 0`), and named: `--peer mlserver:PORT:PID`; each must have a model
`risk` with an input `features`. Medians of the rounds, in which each server has its turn, and the
gateway another over HTTP, with the same row as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from rich.console import Console
from rich.table import Table

from gateway.demo.cast import Cast
from gateway.demo.datasets import hospitals
from gateway.demo.models import breast_cancer_model
from gateway.demo.narrator import Narrator
from gateway.demo.place import prepare
from gateway.demo.running import start_gateway
from gateway.demo.serving_chapter import request
from tests.bench.__main__ import LOAD_CORE, MODEL, SERVER_CORE, _publish
from tests.bench.load import post
from tests.bench.load import run as post_again_and_again
from tests.bench.processes import cpu_seconds, pin
from tests.gateway.grpc.peer import INFER
from tests.gateway.grpc.protocol_buffers import message

WARM_CALLS = 500
HTTP_SECONDS = 3.0
OVER_HTTP = "sealgate over HTTP"


class Server(NamedTuple):
    """A server: what it is called, its port, the process that its family hangs on."""

    name: str
    port: int
    pid: int


async def load(port: int, token: str, rows: Any, callers: int, count: int) -> None:
    """Make `count` calls, `callers` at a time."""
    made = message("ModelInferRequest")
    made.model_name = MODEL
    made.inputs.add(name="features", datatype="FP32", shape=list(rows.shape))
    made.raw_input_contents.append(rows.astype("<f4").tobytes())
    content = made.SerializeToString()
    metadata = [("authorization", f"Bearer {token}")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(INFER)

        async def caller() -> None:
            for _ in range(count // callers):
                await infer(content, metadata=metadata)

        await asyncio.gather(*[caller() for _ in range(callers)])


def measure(server: Server, token: str, rows: Any, callers: int, count: int) -> tuple[float, float]:
    """Return processor microseconds a call, and calls a second."""

    async def run() -> tuple[float, float]:
        await load(server.port, token, rows, callers, WARM_CALLS)
        before, started = cpu_seconds(server.pid), time.perf_counter()
        await load(server.port, token, rows, callers, count)
        return cpu_seconds(server.pid) - before, time.perf_counter() - started

    used, seconds = asyncio.run(run())
    return used / count * 1e6, count / seconds


def measure_http(server: Server, token: str, rows: Any, callers: int) -> tuple[float, float]:
    """Return the same of requests over HTTP."""
    body = json.dumps(request("features", rows)).encode()
    sent = post(f"/v2/models/{MODEL}/infer", body, {"authorization": f"Bearer {token}"})
    found = asyncio.run(
        post_again_and_again(
            server.port, sent, pid=server.pid, seconds=HTTP_SECONDS, connections=callers
        )
    )
    return found.cpu_us, found.rate


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.grpc", description=__doc__)
    parser.add_argument("--peer", action="append", default=[], help="NAME:PORT:PID")
    parser.add_argument("--calls", type=int, default=8_000, help="of each measurement")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
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
        pin(gateway.pid, SERVER_CORE)
        os.sched_setaffinity(0, {LOAD_CORE})
        token = cast.token("clinic-app")
        servers = [Server("sealgate", place.grpc_port, gateway.pid), *_peers(options.peer)]
        http = Server(OVER_HTTP, place.port, gateway.pid)
        found: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for _ in range(options.rounds):
            for callers in options.callers:
                for server in servers:
                    measured = measure(server, token, rows, callers, options.calls)
                    found.setdefault((server.name, callers), []).append(measured)
                measured = measure_http(http, token, rows, callers)
                found.setdefault((http.name, callers), []).append(measured)
    _show([*servers, http], options.callers, found)


def _peers(named: list[str]) -> list[Server]:
    parts = [one.rsplit(":", 2) for one in named]
    return [Server(name, int(port), int(pid)) for name, port, pid in parts]


def _show(
    servers: list[Server],
    callers: list[int],
    found: dict[tuple[str, int], list[tuple[float, float]]],
) -> None:
    table = Table(title="CPU µs a call of all processes of the server (calls a second)")
    table.add_column("")
    for many in callers:
        table.add_column(f"c={many}", justify="right")
    for server in servers:
        medians = [
            [statistics.median(column) for column in zip(*found[server.name, many], strict=True)]
            for many in callers
        ]
        table.add_row(server.name, *(f"{used:.0f} ({rate:.0f})" for used, rate in medians))
    Console().print(table)


if __name__ == "__main__":
    main()
