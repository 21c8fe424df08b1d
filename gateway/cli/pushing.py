"""What `sealgate model push` does: look first, send what is needed, wait, and tell what helps."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.artifacts.admission import MODEL_LIMIT
from gateway.cli.connection import Connection
from gateway.cli.converting import command, onnx_beside
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.transfer import upload
from gateway.cli.watching import wait_for
from gateway.conversion.kinds import TOLD, kind_of

SAMPLE_HELPS: Final = frozenset({"not_runnable", "time", "sample"})
"""Reasons of a refusal that inputs from the owner may mend."""
CONVERSION_HELPS: Final = frozenset(
    {"external_data", "functions", "border_map", "opset", "training_info"}
)
"""Reasons of a refusal that `sealgate model convert` mends."""


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

    def command(self, *more: str, file: Path | None = None) -> str:
        """Return the command line of this push, with more options or with another file."""
        words = ["sealgate", "model", "push", self.name, self.version, str(file or self.file)]
        words += ["--key", str(self.key)]
        if self.calibration is not None:
            words += ["--calibration", str(self.calibration)]
        if self.sample is not None and "--sample" not in more:
            words += ["--sample", str(self.sample)]
        for name in self.allow_nan:
            words += ["--allow-nan", name]
        return shlex.join([*words, *more])

    def conversion(self) -> str:
        """Return the command line that converts the model, and the push that follows."""
        out = onnx_beside(self.file)
        rows = self.sample or self.calibration
        return f"{command(self.file, rows, out=out)}; then: {self.command(file=out)}"


def check_servable(push: Push) -> None:
    """Say before anything is signed or sent what a conversion would mend.

    Whether a model is served is decided by admission; this is a look that saves an upload.

    Raises:
        CommandFailed: The file is another maker's, or ONNX that is not served as it is.
    """
    try:
        kind = kind_of(push.file)
        found = _needs(push) if kind == "onnx" else ()
    except OSError as cause:
        raise CommandFailed(f"{push.file} cannot be read") from cause
    if kind is not None and kind != "onnx":
        what = f"{push.file} is {TOLD[kind]}, and only ONNX is served"
    elif found:
        what = f"{push.file} is not served as it is: {'; '.join(found)}"
    else:
        return
    raise CommandFailed(what, ExitCode.USAGE, push.conversion())


def _needs(push: Push) -> tuple[str, ...]:
    """Look into an ONNX file; what cannot be read is left to admission."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from gateway.conversion.servable import needs

    if push.file.stat().st_size > MODEL_LIMIT:
        return ()
    try:
        model = onnx.load(push.file, load_external_data=False)
        return needs(model, screened=push.calibration is not None)
    except (DecodeError, ValueError):
        return ()


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
        refused.advice = advice_of(refused, push)
        raise
    return connection.get(f"/v1/models/{push.name}/versions/{push.version}")


def advice_of(refused: CommandFailed, push: Push) -> str:
    """Return the command to go on with after a refusal: one that mends it, or the push itself."""
    reason = refused.problem.get("reason")
    if reason in CONVERSION_HELPS:
        return push.conversion()
    again = push.command(*(("--sample", "SAMPLE.npz") if reason in SAMPLE_HELPS else ()))
    return f"{refused.advice}; then: {again}" if refused.advice else again
