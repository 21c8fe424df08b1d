"""The same rounds in one process, under the environment that sites' processes have.

The environment matters to the last bit: it chooses the kernels that numpy adds up with.
`central.py NAME=FILE.npz …` writes an npz to standard output.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from federated.aggregation import Contribution
from federated.plan import Event, LogisticRegression, Plan, Site
from federated.rounds import Answer, Instruction, Rounds
from federated.simulation import LocalMailbox
from federated.site.data import load
from federated.supervisor import environment


@dataclass
class Central:
    """What comes out: the model, the events, and every vector that would have travelled."""

    parameters: Any
    mean: Any
    scale: Any
    vectors: Any
    events: list[Event]


def compute(folder: Path, files: dict[str, Path]) -> Central:
    """Run `main` in a process of its own."""
    arguments = [f"{name}={file}" for name, file in files.items()]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment(folder, folder),
        stdout=subprocess.PIPE,
        check=True,
    )
    with np.load(io.BytesIO(done.stdout)) as found:
        return Central(
            found["parameters"],
            found["mean"],
            found["scale"],
            found["vectors"],
            msgspec.json.decode(found["events"].tobytes(), type=list[Event]),
        )


class Recording(LocalMailbox):
    """Keeps every vector that passes."""

    vectors: list[Any]

    def _ask(self, instruction: Instruction, name: str) -> Answer:
        answer = super()._ask(instruction, name)
        if instruction.operation == "train":
            assert isinstance(answer, Contribution)
            self.vectors += [answer.vector, instruction.vector[2 * instruction.features :]]
        return answer


def main() -> None:
    files = dict(argument.split("=", 1) for argument in sys.argv[1:])
    mailbox = Recording({name: load(Path(file), "") for name, file in files.items()})
    mailbox.vectors = []
    plan = Plan(
        tenant="t",
        federation="f",
        run_id="r",
        sites=tuple(Site(name, name) for name in files),
        rounds=3,
        quorum=len(files),
        deadline_s=30,
        task="logistic-regression",
        config=LogisticRegression(features=30),
    )
    events: list[Event] = []
    rounds = Rounds(plan, mailbox, events.append, clock=time.monotonic, pause=time.sleep)
    outcome = rounds.run()
    packed = io.BytesIO()
    np.savez(
        packed,
        parameters=outcome.parameters,
        mean=outcome.standardisation.mean,
        scale=outcome.standardisation.scale,
        vectors=np.array([*mailbox.vectors, outcome.parameters]),
        events=np.frombuffer(msgspec.json.encode(events), dtype=np.uint8),
    )
    sys.stdout.buffer.write(packed.getvalue())


if __name__ == "__main__":
    main()
