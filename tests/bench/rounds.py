"""`python -m tests.bench.rounds`: federated rounds through the gateway, beside stock Flower's.

Both train the same model with the same code on the same rows of the same three hospitals, each of
them a real SuperNode, one after the other on the same machine. Stock Flower is what its tutorials
start: flower-superlink, flower-supernode, FedAvg, no TLS, no keys, evaluation folded into training.
What sealgate does beyond that is in its time: one more exchange of messages (the agreement on
the standardisation), TLS and signatures through the relay, every step durable in the log, and the
result admitted, screened, encrypted and signed. Its start-up includes tenants, clients, keys and
the registration of the sites. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from federated.control import Control
from federated.errors import ControlFailed
from federated.supervisor import environment
from gateway.demo.cast import Cast
from gateway.demo.datasets import Hospitals, hospitals
from gateway.demo.narrator import Narrator
from gateway.demo.place import LOOPBACK, free_port, prepare
from tests.e2e.federation_place import Partners
from tests.e2e.house import House, at_free_ports, configure, until

ROUNDS: Final = 3
STOCK_APP: Final = Path(__file__).parent / "stock_app"
STOCK, SEALGATE = "stock Flower", "sealgate"
START_SECONDS: Final = 90.0
RUN_SECONDS: Final = 300.0
STOP_SECONDS: Final = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.rounds", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs through the gateway")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    data = hospitals()
    with tempfile.TemporaryDirectory(prefix="sgb-") as folder:
        figures = {STOCK: measure_stock(Path(folder) / "stock", data)}
        figures[SEALGATE] = measure_sealgate(Path(folder) / "place", data, options.runs)
    if options.json:
        print(json.dumps(figures))
    else:
        show(figures)
    return 0


def measure_stock(folder: Path, data: Hospitals) -> dict[str, float]:
    """Start Flower as it comes and run its FedAvg."""
    folder.mkdir(mode=0o700)
    address = f"{LOOPBACK}:{free_port()}"
    with ExitStack() as ending:
        started = time.monotonic()
        port = address.rpartition(":")[2]
        here = ["--insecure", "--host", LOOPBACK]
        offline = "--disable-runtime-dependency-installation"
        launch(ending, folder, "flower-superlink", *here, "--port", port, offline)
        for name, rows in data.sites.items():
            table = folder / f"{name}.npz"
            table.write_bytes(rows.npz())
            arguments = [*here, "--port", str(free_port()), "--superlink", address]
            settings = f'data="{table}"'
            launch(ending, folder, "flower-supernode", *arguments, "--node-config", settings)
        control = Control(address, "anybody")  # stock Control asks nobody who calls
        ending.callback(control.close)
        until(lambda: online(control) == len(data.sites), START_SECONDS)
        start_up = time.monotonic() - started

        from flwr.cli.build import build_fab_from_disk

        app, out = build_fab_from_disk(STOCK_APP), folder / "result.json"
        started = time.monotonic()
        config: dict[str, Any] = {"rounds": ROUNDS, "out": str(out)}  # flwr takes numbers as well
        run = control.start(app, config)
        until(lambda: control.has_ended(run), RUN_SECONDS)
        seconds = time.monotonic() - started
        told = json.loads(out.read_text())
    assert len(told) == ROUNDS, told
    accuracy = told[str(ROUNDS)]["accuracy"]
    return {"start_up_s": start_up, "run_s": seconds, "exchanges": ROUNDS, "accuracy": accuracy}


def launch(ending: ExitStack, folder: Path, program: str, *arguments: str) -> None:
    """Start one of Flower's programs, with a home of its own and nobody to call."""
    place = environment(folder, folder)
    del place["FLWR_SUPEREXEC_TASK_POLL_INTERVAL"]  # stock is stock
    tools = Path(sys.executable).parent
    place["PATH"] = f"{tools}:{place['PATH']}"
    with (folder / "flower.log").open("ab") as log:
        child = subprocess.Popen(
            [str(tools / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=place,
            cwd=folder,
        )
    ending.callback(end, child)


def end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def online(control: Control) -> int:
    """How many nodes are connected; none when nobody answers yet."""
    try:
        return len(control.online())
    except ControlFailed:
        return 0


def measure_sealgate(folder: Path, data: Hospitals, runs: int) -> dict[str, float]:
    """Start a gateway and three sites and run three rounds, from the convenor's call to the end."""
    place = at_free_ports(prepare(folder))
    configure(place, federation="on")
    cast = Cast(place, Narrator(Console(file=io.StringIO())))
    house = House(place, cast, {})
    started = time.monotonic()
    with house:
        cast.assemble()
        partners = Partners(house, data)
        partners.convene()
        try:
            for name in partners.names:
                partners.start_site(name)
            partners.await_joined(partners.names)
            start_up = time.monotonic() - started
            found = [timed(partners, str(number)) for number in range(1, runs + 1)]
        finally:
            partners.stop_sites()
    medians = {name: statistics.median(each[name] for each in found) for name in found[0]}
    return {"start_up_s": start_up, "exchanges": ROUNDS + 1, **medians}


def timed(partners: Partners, version: str) -> dict[str, float]:
    """One run: until its result is a candidate, and how much of that the rounds took."""
    started = time.monotonic()
    run = partners.start("valleys", version, ROUNDS)
    ended = partners.ended("valleys", run, RUN_SECONDS)
    seconds = time.monotonic() - started
    assert ended["state"] == "finished", ended
    steps = partners.steps(run)
    first, last = steps[0], steps[-1]
    assert (first["action"], last["action"]) == ("runStarted", "runFinished")
    path = f"/v1/federations/valleys/rounds/{run}/events"
    told: list[dict[str, Any]] = partners.house.get(path, "clinic-owner")["items"]
    accuracy = [step for step in told if step["type"] == "round_aggregated"][-1]["metrics"]
    return {
        "run_s": seconds,
        "rounds_s": (last["ts"] - first["ts"]) / 1e9,
        "accuracy": accuracy["accuracy"],
    }


def show(figures: dict[str, dict[str, float]]) -> None:
    table = Table(title=f"{ROUNDS} rounds of FedAvg over three real SuperNodes, 30 features")
    for column in ("", "start-up s", "run s", "of it rounds s", "exchanges", "s/exchange"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in figures.items():
        rounds = row.get("rounds_s", row["run_s"])
        cells = [f"{row['start_up_s']:.1f}", f"{row['run_s']:.2f}", f"{rounds:.2f}"]
        table.add_row(name, *cells, f"{row['exchanges']:.0f}", f"{rounds / row['exchanges']:.2f}")
    console = Console()
    console.print(table)
    stock, ours = figures[STOCK], figures[SEALGATE]
    console.print(
        f"stock / sealgate: {stock['run_s'] / ours['run_s']:.1f} for the run (ours with the "
        "agreement, the log and the publication); accuracy at the sites before the last round: "
        f"{stock['accuracy']:.3f} and {ours['accuracy']:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
