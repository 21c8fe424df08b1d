"""While rounds run no file holds a parameter: not the start, not a contribution, not the result.

The start is a canary: random, and with steps so small that it comes through every round unchanged.
So the same bytes are what the coordinator is given, what travels to each site and back, and what
the finished model holds.
"""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.e2e.federation_canary import Scanner, needles, now
from tests.federated.stack import Stack, descendants, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.federated]

FEATURES = 30
ROUNDS = 5
SEARCHES = 3
"""How often all files are searched while rounds run; a busy machine needs more than one run."""
MOST_RUNS = 20
SMALLEST_STEP = 1e-300
UNCHANGED = {"mean": [0.0] * FEATURES, "scale": [1.0] * FEATURES}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("canary")) as stack:
        yield stack


def canary() -> Any:
    """Random values of float32, so that a mean of equal ones over any rows is exact."""
    values = np.random.default_rng().uniform(-1, 1, FEATURES + 1)
    return values.astype(np.float32).astype(np.float64)


def packed(values: Any) -> str:
    buffer = io.BytesIO()
    np.savez(buffer, parameters=values)
    return base64.b64encode(buffer.getvalue()).decode()


def scanner(stack: Stack, values: Any, since: float) -> Scanner:
    """Looks at all that the federation can write to: its folders, and where the system lets it."""

    def family() -> set[int]:
        leaders = {stack.coordinator.pid, *(site.pid for site in stack.sites.values())}
        return leaders | {child for pid in leaders for child in descendants(pid)}

    places = [stack.folder, Path(tempfile.gettempdir()), Path("/dev/shm"), Path.cwd()]
    outside = frozenset(Path.cwd() / name for name in (".git", ".venv"))
    return Scanner(needles(values), places, since=since, family=family, skipped=outside)


def plant(path: Path, content: bytes, scanner: Scanner) -> None:
    """Let a file appear; the scanner must notice it; let it vanish."""
    path.write_bytes(content)
    until(lambda: str(path) in scanner.found, f"the scanner to find {path}")
    path.unlink()
    scanner.found.discard(str(path))


def test_no_file_holds_a_parameter_while_rounds_run(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    values, since = canary(), now()
    with scanner(stack, values, since) as watching:
        raw = values.astype("<f4").tobytes()
        deep = stack.folder / "state" / "north" / "flwr" / "planted"
        deep.parent.mkdir(parents=True, exist_ok=True)
        plant(deep, bytes(77) + raw[32:64] + bytes(9), watching)
        plant(stack.scratch / "planted", b"start=" + packed(values).encode(), watching)
        plant(stack.folder / "site-a" / "planted.log", repr(values[7]).encode(), watching)

        during = runs = 0
        while during < SEARCHES and runs < MOST_RUNS:
            runs, begun = runs + 1, watching.passes
            fly(stack, values, f"canary-{runs}")
            during += watching.passes - begun
    assert during >= SEARCHES, "the scanner did not come round"
    with capsys.disabled():
        print(f"\n{during} searches during {runs * ROUNDS} rounds, {watching.read} files read")
    assert watching.look() == set()


def fly(stack: Stack, values: Any, run: str) -> None:
    """Let the canary go through the rounds of a run, and fail unless it comes through."""
    stack.start_run(
        run,
        list(stack.parts),
        rounds=ROUNDS,
        initial=packed(values),
        config={
            "features": FEATURES,
            "epochs": 1,
            "learning_rate": SMALLEST_STEP,
            "standardisation": UNCHANGED,
        },
    )
    events, state = stack.follow(run)
    model = stack.api.get(f"/runs/{run}/result").raise_for_status().content
    assert state == "finished"
    assert len([event for event in events if event["type"] == "site_result"]) == 3 * ROUNDS
    assert held(model) == values.astype(np.float32).tobytes(), "the canary did not come through"


def test_a_deleted_file_that_is_still_open_is_found(stack: Stack) -> None:
    values, since = canary(), now()
    with tempfile.TemporaryFile(dir=stack.scratch) as file:
        file.write(values.tobytes())
        file.flush()
        mine = Scanner(needles(values), [], since=since, family=lambda: {os.getpid()})
        assert mine.look() == {f"/proc/{os.getpid()}/fd/{file.fileno()}"}


def held(model: bytes) -> bytes:
    """The coefficients and the intercept that a finished model holds, as float32."""
    weights, offsets = onnx.load_from_string(model).graph.initializer
    columns = onnx.numpy_helper.to_array(weights)
    found: bytes = columns[:, 1].tobytes() + onnx.numpy_helper.to_array(offsets)[1:].tobytes()
    return found
