"""`python -m tests.bench.batches`: how fast a batch job is, and what its tenant's callers notice.

Prints rows a second from the start of a job to its end, reading the file included, and the
latencies of a single caller beside the job and without it, in one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.house import House, found_house, moved
from tests.e2e.models import train
from tests.e2e.test_batches import CALLER, batch, write_rows

CALLS = 300
"""Calls of the single caller without a job."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.batches", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="of each job")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with moved(found_house(folder / "founded", train()), folder / "place") as house:
            figures = {
                "alone": latencies(house, lambda count: count < CALLS),
                "no people": job(house, folder, "digits", rows, people=False),
                "a person a row": job(house, folder, "biopsy", rows, people=True),
            }
    print(json.dumps(figures, indent=2))
    return 0


def job(house: House, folder: Path, model: str, count: int, *, people: bool) -> dict[str, Any]:
    """Run a job, a single caller beside it."""
    rows = write_rows(folder / "rows.jsonl", house, model, count, people=people)
    begun = time.perf_counter()
    made = batch(house, "run", model, rows, "--no-wait", "--identity", folder / "batch.key")
    sent, times = time.perf_counter(), {"queued": 0.0}

    def goes_on(_: int) -> bool:
        found = house.get(f"/v1/batches/{made['id']}", CALLER)
        if found["state"] != "queued":
            times.setdefault("read", time.perf_counter())
        return found["state"] in ("queued", "running")

    beside = latencies(house, goes_on)
    ended = time.perf_counter()
    found = house.get(f"/v1/batches/{made['id']}", CALLER)
    assert found["state"] == "finished", found
    return {
        "rows": count,
        "chunks": found["chunks"],
        "refused": found["done"]["refused"],
        "sending s": round(sent - begun, 2),
        "reading s": round(times["read"] - sent, 2),
        "answering s": round(ended - times["read"], 2),
        "rows a second, answering": round(count / (ended - times["read"])),
        "a caller beside it": beside,
    }


def latencies(house: House, goes_on: Callable[[int], bool]) -> dict[str, float]:
    """Ask one row at a time for as long as it goes on."""
    found: list[float] = []
    while goes_on(len(found)):
        for _ in range(10):
            begun = time.perf_counter()
            assert house.infer(row=len(found) % 50).status_code in (200, 403)
            found.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(found, n=100)
    return {"calls": len(found), "p50 ms": round(cuts[49], 2), "p99 ms": round(cuts[98], 2)}


if __name__ == "__main__":
    raise SystemExit(main())
