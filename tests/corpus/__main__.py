"""Admit real models, and say of each why not.

usage: python -m tests.corpus [--keep FOLDER] [--json FILE]

Packages are downloaded by name (`packages.py`); conversions are made in throw-away environments
(`tabular.py`, `networks.py`, `reduced.py`). A model counts when plain onnxruntime loads it, which
is looked at in a process of its own; then it goes through admission as a push does, in the sandbox
and without a sample. Fails when fewer than `WANTED` of them are admitted, models whose outputs are
maps (`ZipMap`) left aside: those are refused by design, with what to write instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gateway.artifacts.admission import admit
from gateway.artifacts.errors import ModelRefused
from tests.corpus.packages import fetch

WANTED: Final = 0.95
BY_DESIGN: Final = frozenset({"border_map", "border_sequence"})
HERE: Final = Path(__file__).parent
TABULAR: Final = ("onnxruntime", "onnx", "scikit-learn", "skl2onnx", "onnxmltools", "xgboost",
                  "lightgbm", "pandas", "sympy")  # fmt: skip
NETWORKS: Final = ("torch==2.13.0", "onnx", "onnxscript", "numpy")
LOADS: Final = (
    "import sys, os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime; "
    "onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one model."""

    source: str
    model: str
    kilobytes: int
    outcome: str
    reason: str = ""
    told: str = ""
    ran_on: str = ""
    seconds: float = 0.0


def main() -> int:
    """Run everything; the exit code says whether enough was admitted."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder that models are kept in")
    parser.add_argument("--json", type=Path, help="file for the outcomes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder: Path = asked.keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes = []
        for source, path in (*fetch(folder), *converted(folder)):
            outcomes.append(examine(source, path))
            print(row(outcomes[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return summed_up(outcomes)


def converted(folder: Path) -> Iterator[tuple[str, Path]]:
    """Make the conversions, where they are not there yet."""
    made = folder / "conversions"
    if not made.is_dir():
        made.mkdir()
        tabular, networks = folder / "env-tabular", folder / "env-networks"
        environment(tabular, TABULAR)
        environment(networks, NETWORKS)
        for env, script in ((tabular, "tabular"), (networks, "networks"), (tabular, "reduced")):
            subprocess.run([env / "bin/python", HERE / f"{script}.py", made], check=False)
    for path in sorted(made.glob("*.onnx")):
        yield "conversion", path


def environment(folder: Path, packages: tuple[str, ...]) -> None:
    """Make a throw-away environment."""
    if not folder.is_dir():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *packages], check=True)


def examine(source: str, path: Path) -> Outcome:
    """Admit one model."""
    about = {"source": source, "model": path.name, "kilobytes": path.stat().st_size >> 10}
    alone = subprocess.run([sys.executable, "-c", LOADS, path], check=False, capture_output=True)
    if alone.returncode:
        return Outcome(**about, outcome="not loadable")  # type: ignore[arg-type]
    started = time.monotonic()
    try:
        report = admit(path.read_bytes())
    except ModelRefused as refused:
        took = round(time.monotonic() - started, 1)
        more = {"reason": refused.reason, "told": str(refused), "seconds": took}
        return Outcome(**about, outcome="refused", **more)  # type: ignore[arg-type]
    took = round(time.monotonic() - started, 1)
    shapes = " ".join(f"{name}{list(shape)}" for name, shape in report.trial.shapes.items())
    ran_on = f"{report.trial.values}: {shapes}"
    return Outcome(**about, outcome="admitted", ran_on=ran_on, seconds=took)  # type: ignore[arg-type]


def row(outcome: Outcome) -> str:
    """A line of the table."""
    said = outcome.told or outcome.ran_on
    return (
        f"{outcome.outcome:<13}{outcome.seconds:>6} s  {outcome.source:<32}"
        f"{outcome.model[-46:]:<47}{outcome.reason:<15}{said[:150]}"
    )


def summed_up(outcomes: list[Outcome]) -> int:
    """Print the shares."""
    loaded = [outcome for outcome in outcomes if outcome.outcome != "not loadable"]
    for kind, part in (
        ("packages", [o for o in loaded if o.source != "conversion"]),
        ("conversions", [o for o in loaded if o.source == "conversion"]),
    ):
        admitted = sum(o.outcome == "admitted" for o in part)
        by_design = sum(o.reason in BY_DESIGN for o in part)
        print(f"{kind}: {admitted} of {len(part)} admitted, {by_design} refused by design")
    counted = [outcome for outcome in loaded if outcome.reason not in BY_DESIGN]
    share = sum(outcome.outcome == "admitted" for outcome in counted) / max(1, len(counted))
    print(f"{len(outcomes) - len(loaded)} are not loadable; {share:.1%} of the others admitted")
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
