"""The demo's attacker: black-box evasion of a model, in a process of its own.

`python -m gateway.demo.attack --method hopskipjump` reads an npz of `model` (ONNX bytes as uint8),
`x` and `y` from standard input and writes an npz of what it found to standard output. Nothing
touches a disk. Only this process imports the Adversarial Robustness Toolbox, which takes seconds
and hundreds of megabytes, and keeps its settings in the home folder; so it is given one that goes
away with it. `run_attack` starts it and is safe to call from anywhere.

The attacker sees the model's probabilities or its label, as a caller does, and knows nothing of
the screen: a screen raises the cost of such attacks and does not stop an informed one.

Sources: HopSkipJump, Chen et al. 2020; Square, Andriushchenko et al. 2020.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from gateway.demo.datasets import SEED, Labels, Rows

Method: TypeAlias = Literal["hopskipjump", "square"]

# The demo attacks a few dozen rows and takes about ten seconds, most of it importing.
TIMEOUT_SECONDS: Final = 120.0
# HopSkipJump: rounds of boundary estimation, 500 queries at most each.
_ROUNDS: Final = 20
_QUERIES: Final = 500
# Square: largest change of a pixel, from 0 to 1, and queries a row.
_PIXEL_CHANGE: Final = 0.2
_SQUARE_QUERIES: Final = 200


@dataclass(frozen=True, slots=True)
class Attacked:
    """What the attacker got, the least changed first.

    Attributes:
        x: Inputs that the model gets wrong, (found, …), within [0, 1].
        clean: What each was made from, which the model gets right.
        y: The true classes.
        predicted: What the model says instead.
        distance: Length of the change (Euclidean).
        attempts: Rows that were attacked.
    """

    x: Rows
    clean: Rows
    y: Labels
    predicted: Labels
    distance: NDArray[np.float32]
    attempts: int


def run_attack(
    model: bytes,
    x: Rows,
    y: Labels,
    *,
    method: Method = "hopskipjump",
    seed: int = SEED,
    timeout: float = TIMEOUT_SECONDS,
) -> Attacked:
    """Attack rows in a process of its own, and wait. Blocks.

    Args:
        model: ONNX bytes of one input and class scores as the first output.
        x: Clean inputs within [0, 1], (rows, …). Those that the model gets wrong are left out.
        y: Their classes.
        method: Which attack.
        seed: Same seed, same examples.
        timeout: Seconds.

    Raises:
        subprocess.SubprocessError: The attacker failed or took too long.
    """
    request = io.BytesIO()
    np.savez(request, model=np.frombuffer(model, np.uint8), x=x, y=y)
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "gateway.demo.attack"),
                *("--method", method, "--seed", str(seed)),
            ],
            input=request.getvalue(),
            # Without the second, onnxruntime writes and calls home, too.
            env={**os.environ, "HOME": home, "ORT_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            timeout=timeout,
            check=True,
        )
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as found:
        return Attacked(
            x=found["x"],
            clean=found["clean"],
            y=found["y"],
            predicted=found["predicted"],
            distance=found["distance"],
            attempts=int(found["attempts"]),
        )


def attack(model: bytes, x: Rows, y: Labels, method: Method, seed: int) -> Attacked:
    """Attack rows in this process, which becomes one that has imported ART. See `run_attack`."""
    import onnxruntime as ort  # here, or the demo's own process had it, and its telemetry

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # the same sums in the same order: the same examples again
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def answers(rows: NDArray[Any]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = session.run(None, {name: rows.astype(np.float32)})[0]
        return values

    right = answers(x).argmax(axis=1) == y
    clean, labels = x[right], y[right]
    toolbox = _generator(answers, clean.shape[1:], method, seed)
    start = {} if method == "square" else {"x_adv_init": _starting_points(clean, labels)}
    made = toolbox.generate(clean, **start)
    made = np.clip(made, 0.0, 1.0).astype(np.float32)
    predicted = answers(made).argmax(axis=1).astype(np.int64)
    distance = np.linalg.norm((made - clean).reshape(len(made), -1), axis=1)
    found = np.flatnonzero(predicted != labels)
    found = found[np.argsort(distance[found], kind="stable")]
    return Attacked(
        made[found],
        clean[found],
        labels[found],
        predicted[found],
        distance[found].astype(np.float32),
        len(clean),
    )


def _starting_points(clean: Rows, labels: Labels) -> Rows:
    """For each row, the nearest of the attacker's own rows of another class.

    Without them HopSkipJump starts from noise that no seed reaches.
    """
    flat = clean.reshape(len(clean), -1).astype(np.float64)
    lengths = (flat**2).sum(axis=1)
    distances = lengths[:, np.newaxis] + lengths - 2.0 * flat @ flat.T
    distances[labels[:, np.newaxis] == labels] = np.inf
    nearest: Rows = clean[distances.argmin(axis=1)]
    return nearest


def _generator(answers: Any, shape: tuple[int, ...], method: Method, seed: int) -> Any:
    """Build the attack around a prediction function."""
    from art.attacks.evasion import HopSkipJump, SquareAttack
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    np.random.seed(seed)  # the toolbox draws from the process's generator
    classes = answers(np.zeros((1, *shape))).shape[1]
    classifier = BlackBoxClassifierNeuralNetwork(
        answers, shape, classes, channels_first=True, clip_values=(0.0, 1.0)
    )
    if method == "square":
        return SquareAttack(
            classifier,
            eps=_PIXEL_CHANGE,
            max_iter=_SQUARE_QUERIES,
            nb_restarts=1,
            verbose=False,
        )
    return HopSkipJump(classifier, max_iter=_ROUNDS, max_eval=_QUERIES, init_eval=20, verbose=False)


def main() -> None:
    """Read a request from standard input and write what was found to standard output."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.attack")
    parser.add_argument("--method", choices=get_args(Method), default="hopskipjump")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    answer, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as request:
        model, x, y = request["model"].tobytes(), request["x"], request["y"]
    found = attack(model, x, y, options.method, options.seed)
    np.savez(
        answer.buffer,
        x=found.x,
        clean=found.clean,
        y=found.y,
        predicted=found.predicted,
        distance=found.distance,
        attempts=found.attempts,
    )
    answer.buffer.flush()


if __name__ == "__main__":
    main()
