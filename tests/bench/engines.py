"""`python -m tests.bench.engines`: engines on the processors of this machine, and their memory.

Runs a second of one, two and four engines, each with a model of its own that computes for some
milliseconds; and batches that grow until the bound of memory refuses them and shrink again, twice:
what is resident after each, and whether the small batch still answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from gateway.engine.errors import EngineError
from gateway.engine.forking import ForkServer
from gateway.engine.memory_files import seal
from gateway.engine.pool import Engines, Graph, Room
from gateway.engine.ports import PLAIN, EngineKind
from gateway.engine.process import Border, Bounds
from gateway.engine.served import Served
from tests.bench.kinds import models
from tests.gateway.engine.dangers import plain, wide

COUNTS: Final = (1, 2, 4)
BATCHES: Final = (256, 2_000, 8_000, 20_000, 40_000, 60_000, 80_000, 20_000, 2_000, 256)
SECONDS: Final = 4.0
BOUND: Final = 1 << 30
SETTLE: Final = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.engines", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    room = Room(engines=8, memory_bytes=8 << 30, each=Bounds(memory_bytes=BOUND), run_seconds=60.0)
    engines = Engines({PLAIN: ForkServer(EngineKind())}, room, lambda *_: None)
    engines.start()
    try:
        figures = {"several": asyncio.run(several(engines)), "memory": asyncio.run(memory(engines))}
    finally:
        engines.close()
    print(json.dumps(figures)) if options.json else show(figures)
    return 0


def graph(data: bytes, name: str) -> Graph:
    return Graph(
        tenant="bench",
        model=name,
        version="1",
        border=Border({"x": "FP32"}, ("y",)),
        size=len(data),
        open=lambda: seal(data),
    )


async def several(engines: Engines) -> list[dict[str, Any]]:
    """Runs a second by the number of engines that are busy."""
    data = plain(models()["pictures"])
    served = [engines.serve(graph(data, f"m{number}")) for number in range(max(COUNTS))]
    x = {"x": np.zeros((1, 3, 224, 224), np.float32)}
    found = []
    for count in COUNTS:
        done, until = 0, time.monotonic() + SECONDS

        async def call(one: Served, until: float = until) -> int:
            runs = 0
            while time.monotonic() < until:
                await one.run(x, 1)
                runs += 1
            return runs

        done = sum(await asyncio.gather(*[call(one) for one in served[:count]]))
        found.append({"engines": count, "runs_s": round(done / SECONDS, 1)})
    for one in served:
        one.close()
    return found


async def memory(engines: Engines) -> list[dict[str, Any]]:
    """What is resident after batches of growing and shrinking size, twice over."""
    served = engines.serve(graph(plain(wide()), "wide"))
    found = []
    for turn in (1, 2):
        for rows in BATCHES:
            try:
                (answer,) = await served.run({"x": np.ones((rows, 8), np.float32)}, rows)
                said = "answered" if (answer == 32768.0).all() else "wrong"
            except EngineError as refused:
                said = refused.code
            await asyncio.sleep(SETTLE)
            resident = round(served.resident() / (1 << 20), 1)
            found.append({"turn": turn, "rows": rows, "said": said, "resident_mb": resident})
    served.close()
    return found


def show(figures: dict[str, list[dict[str, Any]]]) -> None:
    console = Console()
    for name, title in (
        ("several", f"engines on {os.cpu_count()} processors"),
        ("memory", f"batches beside a bound of {BOUND >> 20} MB"),
    ):
        table = Table(title=title)
        for column in figures[name][0]:
            table.add_column(column)
        for row in figures[name]:
            table.add_row(*map(str, row.values()))
        console.print(table)


if __name__ == "__main__":
    sys.exit(main())
