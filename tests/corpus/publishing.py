"""Push and promote models as their owner does, by the command, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.artifacts.errors import ModelRefused
from gateway.artifacts.manifest import Manifest, TensorSpec, parse_manifest
from gateway.cli.connection import Connection
from gateway.cli.main import invoke
from gateway.cli.profile import load_profile
from tests.corpus.clients.exchange import Plan, Question, Tensor

VERSION: Final = "1"
STEM: Final = 40
"""Letters of a file's name that a model's keeps."""


ROWS: Final = 3


class Failed(Exception):
    """A command that failed.

    Attributes:
        reason: The gateway's word for why a model was refused; empty: it was not refused.
    """

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title")))
        refused = problem.get("code") == ModelRefused.code  # else the fault is the gateway's
        self.reason = str(problem.get("reason", "")) if refused else ""


@dataclass(frozen=True)
class Owner:
    """Who publishes.

    Attributes:
        profile: How the command finds the gateway.
        key: The signing key, made when it is not there.
    """

    profile: Path
    key: Path

    def publish(self, file: Path, name: str) -> Manifest:
        """Create, push and promote a model; returns the manifest that the gateway signed.

        Raises:
            Failed: A step was refused or failed.
        """
        if not self.key.exists():
            command("model", "keygen", "--out", str(self.key))
        profile = ("--profile", str(self.profile))
        command("model", "create", name, "--no-personal", *profile)
        command("model", "push", name, VERSION, str(file), "--key", str(self.key), *profile)
        command("model", "promote", name, VERSION, *profile)
        with Connection(load_profile(self.profile)) as connection:
            path = f"/v1/models/{name}/versions/{VERSION}/manifest"
            return parse_manifest(connection.send("GET", path).content)


def command(*arguments: str) -> None:
    """Run `sealgate`.

    Raises:
        Failed: It ended with another code than 0.
    """
    said, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaint):
        code = invoke([*arguments, "--json"])
    if code:
        lines = complaint.getvalue().splitlines()
        raise Failed(_problem(lines[-1] if lines else f"it ended with {code}"))


def _problem(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        return dict(json.loads(line))
    return {"detail": line}


def named(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give every model below a folder a name that the gateway takes."""
    for number, file in enumerate(sorted(folder.rglob("*.onnx"))):
        stem = re.sub(r"[^a-z0-9]+", "-", file.stem.lower())[-STEM:].strip("-")
        yield f"m{number:03}-{stem}", file


def question_of(name: str, file: Path, manifest: Manifest) -> Question:
    """What to ask a model: small random numbers in some rows, else what it was admitted with."""
    trial = manifest.trial
    shapes = {one: list(shape) for one, shape in trial.shapes.items()} if trial else {}
    fed = [one for one in manifest.inputs if one.name in shapes]
    plans = [Plan("small", grown(fed, shapes)), Plan("small", shapes)]
    plans.append(Plan(trial.values if trial else "zeros", shapes))
    return Question(
        name,
        str(file),
        tuple(plan for at, plan in enumerate(plans) if plan not in plans[:at]),
        tuple(Tensor(one.name, one.datatype) for one in fed),
        tuple(Tensor(one.name, one.datatype) for one in manifest.outputs),
    )


def grown(fed: Sequence[TensorSpec], shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Give inputs `ROWS` rows: in open first dimensions, and wherever their names stand."""
    names = {one.symbols[0] for one in fed if one.shape[:1] == (-1,) and one.symbols} - {""}
    return {
        one.name: [
            ROWS if open_ == -1 and (symbol in names or (axis == 0 and not symbol)) else size
            for axis, (open_, symbol, size) in enumerate(
                zip(one.shape, one.symbols or [""] * len(one.shape), shapes[one.name], strict=True)
            )
        ]
        for one in fed
    }
