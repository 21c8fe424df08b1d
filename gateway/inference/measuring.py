"""What a version's engines can do is measured when it is published, and kept with the version.

The inputs are those that admission found, made anew from the manifest; small random ones where the
model runs on them, as rows that are all alike show nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from gateway.artifacts.manifest import Manifest, TrialValues
from gateway.artifacts.trial import make_values
from gateway.engine.errors import EnginesDown, RunFailed, RunTimeout
from gateway.engine.memory_files import seal
from gateway.engine.pool import Engines, Graph
from gateway.engine.ports import PLAIN
from gateway.engine.trial import ROWS_COMPARED, Trial, try_out
from gateway.inference.signed_manifest import border_of
from gateway.registry.packaging import Plain

KIND: Final = "engine"
ROWS: Final = "shared_rows"
TRIAL: Final = "engine_trial"


class Measuring:
    """Tries versions out.

    Args:
        engines: Starts them.
        monotonic: Seconds.
    """

    def __init__(self, engines: Engines, monotonic: Callable[[], float]) -> None:
        self._engines = engines
        self._monotonic = monotonic

    def __call__(
        self, manifest: Manifest, graph: Plain, *, by_row: bool, screened: bool
    ) -> dict[str, str]:
        """Measure a version; blocks for some seconds.

        Args:
            manifest: What it takes and gives, and the inputs that it ran on.
            graph: The bytes that will be served.
            by_row: Whether all first dimensions are the rows.
            screened: Whether the graph gives the screen's scores as well.

        Returns:
            Facts for the registry: the kind of engine, rows of a shared run, and what was measured.

        Raises:
            EngineError: The model runs in no engine: it must not be published.
        """
        trial = manifest.trial
        if trial is None or trial.values == "sample":
            return {KIND: PLAIN, ROWS: "1", "measured": "no: it runs on its owner's sample only"}
        border = border_of(manifest, screened=screened)

        def start(kind: str) -> Graph:
            return Graph(
                tenant=manifest.tenant,
                model=manifest.model,
                version=manifest.version,
                border=border,
                size=len(graph),
                open=partial(seal, graph),
                kind=kind,
            )

        kinds = [kind for kind in self._engines.kinds if kind != PLAIN]
        values: tuple[TrialValues, ...] = ("small", trial.values)
        for number, filled in enumerate(values):
            try:
                return facts_of(
                    try_out(
                        lambda kind: self._engines.trial(start(kind)),
                        kinds,
                        make_values(manifest.inputs, _shapes(trial.shapes, by_row), filled),
                        by_row=by_row,
                        monotonic=self._monotonic,
                    )
                )
            except (RunFailed, RunTimeout):
                if number == len(values) - 1:
                    raise
        raise EnginesDown


def facts_of(trial: Trial) -> dict[str, str]:
    """Return what is kept of a trial."""
    measured = {
        "run_us": trial.run_us,
        "us_a_row": {str(rows): taken for rows, taken in trial.curve.items()},
        "differs": trial.differs,
        "left_out": trial.refused,
    }
    return {KIND: trial.kind, ROWS: str(trial.rows), TRIAL: json.dumps(measured)}


def rows_of(facts: Mapping[str, str]) -> int:
    """Return how many rows a shared run of a version may have; 1 where that is not known."""
    kept = facts.get(ROWS, "1")
    return int(kept) if kept.isdigit() else 1


def _shapes(shapes: Mapping[str, tuple[int, ...]], by_row: bool) -> dict[str, tuple[int, ...]]:
    if not by_row:
        return dict(shapes)
    return {name: (ROWS_COMPARED, *shape[1:]) for name, shape in shapes.items()}
