"""What `sealgate model convert` does: ask, convert in a process of its own, admit, write, tell.

1. A file that can run what is in it (a pickle, torch's files) is loaded only after its owner was
   told what that means and said yes, by `--trust-pickle` or at the prompt.
2. The model goes under its name when it was compared and admitted, at once and whole. What has that
   name already stays, unless `--force` says otherwise.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import typer

from gateway.artifacts.admission import REASONS, AdmissionReport, admit
from gateway.artifacts.errors import ModelRefused
from gateway.cli.extras import require_extras
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import check_writable, note, progress
from gateway.conversion.kinds import PICKLED, TOLD, Kind, kind_of
from gateway.conversion.request import STAGES, Message, Report, Request

_WITH_CONVERTERS: Final = frozenset({"pickle", "xgboost", "lightgbm"})
_SPLITS: Final = (
    "leave splitting texts into words to the caller: convert the steps that come after the "
    "vectoriser (`pipeline[1:]`)"
)
_SHOWN: Final = 1200  # characters of what a process that died had printed


@dataclass(frozen=True)
class Conversion:
    """A conversion as it was asked for.

    Attributes:
        file: The model.
        out: Where the ONNX goes.
        sample: Rows to compare on, or None.
        trusted: Whether the owner said that it may be unpickled.
        tolerance: How far numbers may be apart.
        differing: Share of the rows that may differ by more.
        force: Whether a file of that name may be replaced.
    """

    file: Path
    out: Path
    sample: Path | None
    trusted: bool
    tolerance: float
    differing: float
    force: bool

    def command(self, *more: str) -> str:
        """Return the command line of this conversion, with more options."""
        return command(self.file, self.sample, *more, out=self.out)


def command(file: Path, sample: Path | None, *more: str, out: Path | None = None) -> str:
    """Return the command line that converts a file."""
    words = ["sealgate", "model", "convert", str(file)]
    words += ["--out", str(out or onnx_beside(file))]
    words += ["--sample", str(sample)] if sample is not None else []
    return shlex.join([*words, *more])


def onnx_beside(file: Path) -> Path:
    """Return a name for what is made of a file: beside it, and not its own."""
    made = file.with_suffix(".onnx")
    return made if made != file else file.with_name(f"{file.stem}-served.onnx")


def convert(asked: Conversion, *, quiet: bool) -> tuple[Report, AdmissionReport | None]:
    """Convert a file; returns what was done, and how admission found it.

    Raises:
        CommandFailed: Why not; nothing was written.
    """
    check_writable(asked.out)
    if asked.out.exists() and not asked.force:
        raise CommandFailed(
            f"{asked.out} exists; nothing was changed", ExitCode.USAGE, asked.command("--force")
        )
    kind = _kind(asked.file)
    if kind in _WITH_CONVERTERS:
        require_extras("onnxmltools", "skl2onnx")
    if kind is not None and kind in PICKLED and not asked.trusted:
        _ask(asked, kind)
    with tempfile.TemporaryDirectory(dir=asked.out.parent, prefix=".sealgate-") as passing:
        made = Path(passing) / "model.onnx"
        report = _converted(asked, kind, made, quiet=quiet)
        admitted = _admitted(made, asked)
        _put(made, asked)
    return report, admitted


def _kind(file: Path) -> Kind | None:
    try:
        return kind_of(file)
    except OSError as cause:
        raise CommandFailed(f"{file} cannot be read") from cause


def _ask(asked: Conversion, kind: Kind) -> None:
    note(f"{asked.file} is {TOLD[kind]}: loading it runs whatever its maker put in, as you, here.")
    if not sys.stdin.isatty():
        raise CommandFailed(
            "a file that can run what is in it is loaded only where you say that you trust it",
            ExitCode.USAGE,
            f"if you made it, or trust who did: {asked.command('--trust-pickle')}",
        )
    if not typer.confirm("Did you make it, or do you trust who did?", err=True):
        raise CommandFailed("nothing was loaded", ExitCode.USAGE, "convert it where it was made")


def _converted(asked: Conversion, kind: Kind | None, made: Path, *, quiet: bool) -> Report:
    """Run the converting process; what it prints is told when it dies without a word."""
    request = Request(
        file=str(asked.file.resolve()),
        out=str(made.resolve()),
        sample=str(asked.sample.resolve()) if asked.sample is not None else None,
        # Asked for above. A file that became a pickle since is not loaded.
        trusted=kind in PICKLED,
        tolerance=asked.tolerance,
        differing=asked.differing,
    )
    last = Message()
    with tempfile.TemporaryFile() as printed, progress("convert", quiet=quiet) as advance:
        for last in _messages(request, printed.fileno()):
            if last.stage:
                advance(STAGES.index(last.stage), len(STAGES), last.stage)
        printed.seek(0)
        said = printed.read().decode(errors="replace")[-_SHOWN:]
    if last.report is not None:
        return last.report
    if last.reason:
        problem = {"title": "conversion", "detail": last.what, "reason": last.reason}
        advice = last.remedy
        if "--" in advice and last.reason in ("not_runnable", "inputs"):
            advice = f"{advice}; then: {asked.command('--sample', 'ROWS.npz')}"
        raise CommandFailed(f"{last.what} ({last.reason})", advice=advice, problem=problem)
    note(said.strip())
    raise CommandFailed(
        "the converting process died; what it printed stands above",
        advice="give real rows by --sample; or convert it by its own library, and push the ONNX",
    )


def _messages(request: Request, printed: int) -> Iterator[Message]:
    """Start the process and yield its messages; it ends with this command."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "gateway.conversion"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=printed,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(request))
            process.stdin.close()
        try:
            for line in process.stdout:
                yield msgspec.json.decode(line, type=Message)
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()


def _admitted(made: Path, asked: Conversion) -> AdmissionReport | None:
    """Admit what was made, as a push does; None where this system has no sandbox.

    A push with the sample as calibration set comes first, then one with it as `--sample`.
    """
    if not sys.platform.startswith("linux"):
        return None
    model, sample = made.read_bytes(), asked.sample
    rows = sample.read_bytes() if sample is not None and sample.suffix == ".npz" else None
    try:
        return admit(model, rows=rows)
    except ModelRefused as refused:
        if rows is None or not REASONS[refused.reason].sample:
            raise _not_admitted(refused) from refused
    try:
        report = admit(model, sample=rows)
    except ModelRefused as refused:
        raise _not_admitted(refused) from refused
    note(f"it runs on no inputs that admission makes: push it with --sample {sample}")
    return report


def _not_admitted(refused: ModelRefused) -> CommandFailed:
    splits = "`Tokenizer`" in refused.public
    return CommandFailed(
        f"converted, but not admitted: {refused.public} ({refused.reason})",
        advice=_SPLITS if splits else refused.remedy,
        problem={"title": refused.code, "detail": refused.public, "reason": refused.reason},
    )


def _put(made: Path, asked: Conversion) -> None:
    """Give the finished file its name, at once; a file that came there meanwhile stays."""
    try:
        if asked.force:
            os.replace(made, asked.out)
        else:
            os.link(made, asked.out)
    except FileExistsError as cause:
        raise CommandFailed(
            f"{asked.out} exists; nothing was changed", ExitCode.USAGE, asked.command("--force")
        ) from cause
    except OSError as cause:
        raise CommandFailed(f"{asked.out} cannot be written") from cause
