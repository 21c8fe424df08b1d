"""`make bench`: what security costs a request, beside what one could pick instead, in one run.

The servers have one core, the load has another. Each contender is measured in turn, several times
over; medians are printed. What is compared is processor time a request: rates depend on the load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from gateway.demo.cast import Cast
from gateway.demo.datasets import Hospitals, hospitals
from gateway.demo.models import breast_cancer_model
from gateway.demo.narrator import Narrator
from gateway.demo.place import free_port, prepare
from gateway.demo.running import start_gateway
from gateway.demo.serving_chapter import request
from tests.bench.comparison import Contender, compare, show, with_peers, workloads
from tests.bench.image_model import image_model
from tests.bench.load import Measured, post, run
from tests.bench.processes import pin

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 32
MODEL, VERSION = "risk", "1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peers", action="store_true", help="compare with other servers")
    parser.add_argument("--peers-dir", type=Path, default=_cache(), help="where they are installed")
    options = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the servers, one for the load")
    os.environ["SEALGATE_FEDERATION"] = "off"
    data = hospitals()
    model = breast_cancer_model(next(iter(data.sites.values())))
    if options.peers:
        return _with_peers(options, data, model)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        figures = _measure(stack, Path(folder), data, model, options.seconds, options.rounds)
    if options.json:
        print(json.dumps(figures))
    else:
        _show(figures)
    return 0


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "sealgate-bench"


def _with_peers(options: argparse.Namespace, data: Hospitals, model: bytes) -> int:
    loads = workloads(data.test.x[:1])
    models = {"risk": model, "image": image_model()}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cast, gateway_pid = _gateway(stack, folder, data, model)
        _publish_unscreened(cast, folder, "image", models["image"])
        (folder / "model.onnx").write_bytes(model)
        bare_pid, bare_port = stack.enter_context(_bare(folder / "model.onnx"))
        peers = with_peers(stack, options.peers_dir, folder, models, SERVER_CORE)
        pin(gateway_pid, SERVER_CORE)  # engines of models came since
        os.sched_setaffinity(0, {LOAD_CORE})
        token = {"authorization": f"Bearer {cast.token('clinic-app')}"}
        contenders = [
            Contender("bare ASGI route", bare_pid, bare_port, models=frozenset({"risk"})),
            Contender("sealgate, secured", gateway_pid, cast.place.port, token),
            *peers,
        ]
        figures = compare(contenders, loads, options.seconds, options.rounds)
    if options.json:
        print(json.dumps(figures))
    else:
        show(figures, loads)
    return 0


def _gateway(stack: ExitStack, folder: Path, data: Hospitals, model: bytes) -> tuple[Cast, int]:
    """Start a gateway with the model published, on the servers' core."""
    place = prepare(folder / "place")
    gateway = stack.enter_context(start_gateway(place))
    pin(gateway.pid, SERVER_CORE)
    cast = Cast(place, Narrator(Console(stderr=True)))
    cast.assemble()
    _publish(cast, folder, data, model)
    return cast, gateway.pid


def _publish_unscreened(cast: Cast, folder: Path, name: str, model: bytes) -> None:
    """Publish a model without a calibration set, and let the tenant give such outputs out."""
    rules = cast.run("clinic-owner", "policy", "show")["text"].split("@id(")
    kept = [rule for rule in rules if not rule.startswith('"screened-only"')]
    (folder / "policies.cedar").write_text("@id(".join(kept))
    cast.run("clinic-owner", "policy", "publish", str(folder / "policies.cedar"))
    (folder / f"{name}.onnx").write_bytes(model)
    cast.run("clinic-owner", "model", "create", name, "--no-personal")
    push = ("model", "push", name, VERSION, str(folder / f"{name}.onnx"))
    cast.run("clinic-owner", *push, "--key", str(folder / "owner.key"))
    cast.run("clinic-owner", "model", "promote", name, VERSION)


def _measure(
    stack: ExitStack, folder: Path, data: Hospitals, model: bytes, seconds: float, rounds: int
) -> dict[str, dict[str, float]]:
    cast, gateway_pid = _gateway(stack, folder, data, model)
    place = cast.place
    (folder / "model.onnx").write_bytes(model)
    bare_pid, bare_port = stack.enter_context(_bare(folder / "model.onnx"))
    os.sched_setaffinity(0, {LOAD_CORE})
    body = json.dumps(request("features", data.test.x[:1])).encode()
    token = cast.token("clinic-app")
    secured = post(f"/v2/models/{MODEL}/infer", body, {"authorization": f"Bearer {token}"})
    plain = post(f"/v2/models/{MODEL}/infer", body, {})
    contenders = {
        "bare ASGI route, no security": (bare_port, plain, bare_pid),
        "sealgate, secured": (place.port, secured, gateway_pid),
    }
    figures: dict[str, dict[str, float]] = {
        "onnxruntime in process": _in_process(model, data.test.x[:1])
    }
    for name, (port, message, pid) in contenders.items():
        asyncio.run(run(port, message, pid=pid, seconds=1.0, connections=CONNECTIONS))
        found = [
            asyncio.run(run(port, message, pid=pid, seconds=seconds, connections=CONNECTIONS))
            for _ in range(rounds)
        ]
        figures[name] = _medians(found)
    figures["sealgate, secured"] |= _hit_ratios(place.operations_url)
    return figures


def _publish(cast: Cast, folder: Path, data: Hospitals, model: bytes) -> None:
    (folder / "risk.onnx").write_bytes(model)
    (folder / "held-out.npz").write_bytes(data.calibration.npz())
    key = str(folder / "owner.key")
    cast.run("clinic-owner", "model", "keygen", "--out", key)
    cast.run("clinic-owner", "model", "create", MODEL, "--no-personal")
    cast.run(
        *("clinic-owner", "model", "push", MODEL, VERSION, str(folder / "risk.onnx")),
        *("--key", key, "--calibration", str(folder / "held-out.npz")),
    )
    cast.run("clinic-owner", "model", "promote", MODEL, VERSION)


@contextmanager
def _bare(model: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    child = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(model), str(port)])
    try:
        pin(child.pid, SERVER_CORE)
        _wait_until_open(port)
        yield child.pid, port
    finally:
        child.terminate()
        child.wait()


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _in_process(model: bytes, row: np.ndarray) -> dict[str, float]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    runs = 20_000
    session.run(None, {"features": row})
    started = time.process_time()
    for _ in range(runs):
        session.run(None, {"features": row})
    spent = (time.process_time() - started) / runs
    return {"cpu_us": spent * 1e6, "rate": 1 / spent}


def _medians(found: list[Measured]) -> dict[str, float]:
    return {
        name: statistics.median(getattr(measured, name) for measured in found)
        for name in ("cpu_us", "rate", "p50_ms", "p99_ms")
    } | {"refused": float(sum(measured.refused for measured in found))}


def _hit_ratios(operations_url: str) -> dict[str, float]:
    ratios = {}
    for line in httpx.get(f"{operations_url}/metrics").text.splitlines():
        if line.startswith("sealgate_memo_hit_ratio{"):
            memo = line.split('"')[1]
            ratios[f"{memo}_memo_hits"] = float(line.rpartition(" ")[2])
    return ratios


def _show(figures: dict[str, dict[str, float]]) -> None:
    bare = figures["bare ASGI route, no security"]["cpu_us"]
    table = Table(title="30 features, one row, JSON, 32 connections, bearer token (no binding)")
    for column in ("", "CPU µs/request", "x bare", "requests/s", "p50 ms", "p99 ms", "refused"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in figures.items():
        cells = [f"{row['cpu_us']:.0f}", f"{row['cpu_us'] / bare:.2f}", f"{row['rate']:.0f}"]
        cells += [f"{row[key]:.1f}" if key in row else "" for key in ("p50_ms", "p99_ms")]
        table.add_row(name, *cells, f"{row['refused']:.0f}" if "refused" in row else "")
    console = Console()
    console.print(table)
    secured = figures["sealgate, secured"]
    console.print(
        f"memo hits: token {secured['token_memo_hits']:.3f}, "
        f"policy {secured['policy_memo_hits']:.3f}; every answer durably recorded before it left"
    )


if __name__ == "__main__":
    sys.exit(main())
