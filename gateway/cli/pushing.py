"""What `sealgate model push` does: look first, send what is needed, wait, and tell what helps."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.transfer import upload
from gateway.cli.watching import wait_for

SAMPLE_HELPS: Final = frozenset({"not_runnable", "time", "sample"})
"""Reasons of a refusal that inputs from the owner may mend."""


@dataclass(frozen=True)
class Push:
    """A push as it was asked for.

    Attributes:
        name: Of the model.
        version: To be.
        file: The model.
        key: The owner's private key.
        calibration: Labelled rows, or None.
        sample: Inputs that the model runs on, or None.
        allow_nan: Inputs in which not-a-number and infinities are values like any other.
    """

    name: str
    version: str
    file: Path
    key: Path
    calibration: Path | None
    sample: Path | None
    allow_nan: tuple[str, ...]

    def command(self, *more: str) -> str:
        """Return the command line of this push, with more options."""
        words = ["sealgate", "model", "push", self.name, self.version, str(self.file)]
        words += ["--key", str(self.key)]
        if self.calibration is not None:
            words += ["--calibration", str(self.calibration)]
        if self.sample is not None and "--sample" not in more:
            words += ["--sample", str(self.sample)]
        for name in self.allow_nan:
            words += ["--allow-nan", name]
        return shlex.join([*words, *more])


def check_possible(connection: Connection, push: Push) -> None:
    """Say before a long upload what would be refused after it.

    Raises:
        CommandFailed: The model is absent, the version is there, or too many jobs are under way.
    """
    try:
        connection.get(f"/v1/models/{push.name}")
    except CommandFailed as refused:
        if refused.code is ExitCode.NOT_FOUND:
            refused.advice = f"sealgate model create {push.name} --help"
        raise
    try:
        found = connection.get(f"/v1/models/{push.name}/versions/{push.version}")
    except CommandFailed as refused:
        if refused.code is not ExitCode.NOT_FOUND:
            raise
    else:
        if found["state"] != "rejected":
            raise CommandFailed("the version exists already", advice="choose another name for it")
    jobs = connection.get("/v1/jobs")
    if jobs["running"] >= jobs["limit"]:
        raise CommandFailed(
            f"{jobs['running']} jobs of your tenant are under way, and no more run at once",
            ExitCode.TRY_AGAIN,
            f"when one has ended: {push.command()}",
        )


def send(connection: Connection, push: Push, signed: dict[str, Any], *, quiet: bool) -> Any:
    """Upload the files and start publishing; returns the job.

    Raises:
        CommandFailed: A file cannot be read, or the gateway refuses it.
    """
    body = {
        "version": push.version,
        "upload": upload(connection, push.name, push.file, quiet=quiet),
        "allow_nan": list(push.allow_nan),
        **signed,
    }
    for field, path in (("calibration", push.calibration), ("sample", push.sample)):
        if path is not None:
            body[field] = upload(connection, push.name, path, quiet=quiet)
    return connection.post(f"/v1/models/{push.name}/versions", body)


def wait(connection: Connection, push: Push, job: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Wait until the version is a candidate, and return it.

    Raises:
        CommandFailed: It was refused; the advice is the command to go on with.
    """
    try:
        wait_for(connection, job, "publish", quiet=quiet)
    except CommandFailed as refused:
        reason = refused.problem.get("reason")
        again = push.command(*(("--sample", "SAMPLE.npz") if reason in SAMPLE_HELPS else ()))
        refused.advice = f"{refused.advice}; then: {again}" if refused.advice else again
        raise
    return connection.get(f"/v1/models/{push.name}/versions/{push.version}")
