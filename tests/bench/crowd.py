"""`python -m tests.bench.crowd`: hundreds of models with room for a few engines, in one run.

The tenants of the crowd call their models in random order, so that nearly each call gives an engine
up and starts another. A quiet tenant calls one model all the time. Told are the calls that were not
answered, the quiet tenant's p99 beside the one it has alone, and what the gateway held at most.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from gateway.cli.main import invoke
from gateway.demo.cast import Cast
from gateway.demo.narrator import Narrator
from gateway.demo.place import Place, prepare
from gateway.demo.running import start_gateway
from tests.bench.dangers import GOOD, ONES, Quiet, people, profile, publish, token
from tests.gateway.artifacts.hostile_models import linear
from tests.gateway.engine import dangers

CROWD: Final = ("red", "green", "blue")
CALLERS: Final = 2  # of each tenant of the crowd
ENGINE_BYTES: Final = 24 << 20  # what one is counted as, more or less
SEED: Final = 7
ALONE_SECONDS: Final = 5.0
TURNS: Final = 2
SAMPLE_SECONDS: Final = 2.0  # each asks for the metrics, with thousands of lines


@dataclass
class Held:
    """What the gateway holds while the block runs, at most.

    Attributes:
        engines: How many there were.
        engine_bytes, gateway_bytes: Memory of the engines, and of the gateway's own process.
        descriptors: That the gateway had open.
    """

    place: Place
    pid: int
    engines: int = 0
    engine_bytes: int = 0
    gateway_bytes: int = 0
    descriptors: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Held:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        with httpx.Client() as client:
            while not self._ended.wait(SAMPLE_SECONDS):
                text = client.get(f"{self.place.operations_url}/metrics").text
                told = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
                self.engines = max(self.engines, int(float(told["sealgate_engines"])))
                resident = int(float(told["sealgate_engine_resident_bytes"]))
                self.engine_bytes = max(self.engine_bytes, resident)
                self.gateway_bytes = max(self.gateway_bytes, resident_bytes(self.pid))
                self.descriptors = max(self.descriptors, descriptors(self.pid))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentiles(seconds: list[float]) -> list[float]:
    """Return the 50th and the 99th, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return [round(cuts[place] * 1000, 2) for place in (49, 98)]


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.crowd", description=__doc__)
    parser.add_argument("--models", type=int, default=500, help="of the crowd")
    parser.add_argument("--room", type=int, default=20, help="engines that there is memory for")
    parser.add_argument("--calls", type=int, default=2000, help="of the crowd")
    parser.add_argument("--place", type=Path, help="folder that keeps the models for another run")
    options = parser.parse_args()
    os.environ["SEALGATE_FEDERATION"] = "off"
    os.environ["SEALGATE_ENGINES_MEMORY_BYTES"] = str(options.room * ENGINE_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        place, fresh = found(options.place or Path(folder) / "place")
        with start_gateway(place) as gateway:
            crowd = Crowd(place, options.models)
            if fresh:
                crowd.publish()
            figures = crowd.measure(gateway.pid, options.calls)
    print(json.dumps(figures, indent=2))
    return 0 if figures["ok"] else 1


def found(folder: Path) -> tuple[Place, bool]:
    """Return a place and whether it is a new one, without models."""
    facts = folder.with_suffix(".json")
    if facts.exists():
        kept = json.loads(facts.read_text())
        return Place(**{**kept, "folder": folder}), False
    place = prepare(folder)
    facts.write_text(json.dumps({**asdict(place), "folder": ""}))
    return place, True


class Crowd:
    """Tenants with many models each, and one with a single model."""

    def __init__(self, place: Place, models: int) -> None:
        self._place = place
        names = [f"m{number}" for number in range(models)]
        self._models = {tenant: names[number :: len(CROWD)] for number, tenant in enumerate(CROWD)}
        self._answers: Counter[str] = Counter()

    def publish(self) -> None:
        """Let every tenant push and release its models."""
        people(self._place, ("quiet", *CROWD))
        folder = self._place.folder / "models"
        folder.mkdir()
        cast = Cast(self._place, Narrator(Console(file=io.StringIO())))
        publish(cast, "quiet-owner", folder, GOOD, dangers.plain(linear()))
        model = folder / "model.onnx"
        model.write_bytes(dangers.plain(linear()))
        began = time.monotonic()
        for tenant in CROWD:
            key = str(model.with_name(f"{tenant}.key"))
            self._run(tenant, "model", "keygen", "--out", key)
        for round_ in itertools.zip_longest(*self._models.values()):
            for tenant, name in zip(CROWD, round_, strict=True):
                if name is not None:
                    self._publish(tenant, name, model)
        print(f"published in {time.monotonic() - began:.0f} s", file=sys.stderr)

    def _publish(self, tenant: str, name: str, model: Path) -> None:
        key = str(model.with_name(f"{tenant}.key"))
        self._run(tenant, "model", "create", name, "--no-personal")
        self._run(tenant, "model", "push", name, "1", str(model), "--key", key)
        self._run(tenant, "model", "promote", name, "1")

    def _run(self, tenant: str, *arguments: str) -> None:
        as_owner = ("--profile", str(profile(self._place, f"{tenant}-owner")))
        given = [*arguments, *(() if "keygen" in arguments else as_owner), "--json"]
        with contextlib.redirect_stdout(io.StringIO()):
            assert invoke(given) == 0, given

    def measure(self, pid: int, calls: int) -> dict[str, Any]:
        """Call the quiet model alone and beside the crowd, in turns."""
        quiet = Quiet(self._place.url, token(self._place, "quiet-app"))
        alone: list[float] = []
        beside: list[float] = []
        failed: list[str] = []
        before, bytes_before = descriptors(pid), resident_bytes(pid)
        with Held(self._place, pid) as held:
            for _ in range(TURNS):
                with quiet.calling():
                    time.sleep(ALONE_SECONDS)
                alone += quiet.seconds
                with quiet.calling():
                    self._call(calls // TURNS)
                beside += quiet.seconds
                failed += quiet.failed
        return {
            "answers": dict(self._answers),
            "quiet_calls": len(beside),
            "quiet_failed": Counter(failed),
            "quiet_p50_p99_ms": percentiles(beside),
            "alone_p50_p99_ms": percentiles(alone),
            "engines": held.engines,
            "engines_mib": held.engine_bytes >> 20,
            "gateway_mib": [bytes_before >> 20, held.gateway_bytes >> 20],
            "descriptors": [before, held.descriptors, descriptors(pid)],
            "ok": set(self._answers) == {"200"}
            and not failed
            and percentiles(beside)[1] <= 2 * percentiles(alone)[1]
            and held.engine_bytes <= 2 * int(os.environ["SEALGATE_ENGINES_MEMORY_BYTES"]),
        }

    def _call(self, calls: int) -> None:
        share = calls // (len(CROWD) * CALLERS)
        threads = [
            threading.Thread(target=self._caller, args=(tenant, share, SEED + number))
            for number in range(CALLERS)
            for tenant in CROWD
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _caller(self, tenant: str, calls: int, seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311 - the same calls in each run
        bearer = token(self._place, f"{tenant}-app")
        with httpx.Client(timeout=60.0) as client:
            for _ in range(calls):
                answer = client.post(
                    f"{self._place.url}/v2/models/{choose.choice(self._models[tenant])}/infer",
                    json={"inputs": [ONES]},
                    headers={"authorization": f"Bearer {bearer}"},
                )
                good = answer.status_code == 200
                self._answers["200" if good else answer.json()["type"].rpartition("/")[2]] += 1


if __name__ == "__main__":
    sys.exit(main())
