"""`sealgate model push --dry-run`: what the gateway would say, before anything is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.failures import CommandFailed
from gateway.cli.output import progress
from gateway.errors import SealgateError

if TYPE_CHECKING:
    from gateway.cli.pushing import Push


def dry_run(push: Push, *, quiet: bool) -> dict[str, str]:
    """Admit and calibrate here; returns the facts that the version would have.

    Raises:
        CommandFailed: It would be refused, or a file cannot be read; the advice is what mends it.
    """
    if not sys.platform.startswith("linux"):
        raise CommandFailed("a dry run needs the sandbox, which needs Linux", advice=push.command())
    from gateway.cli.pushing import advice_of
    from gateway.composition.rehearsal import Files, rehearse

    files = Files(
        plain=_read(push.file),
        calibration=_read(push.calibration) if push.calibration is not None else None,
        sample=_read(push.sample) if push.sample is not None else None,
        allow_nan=frozenset(push.allow_nan),
    )
    try:
        with progress("dry run", quiet=quiet) as advance:
            return rehearse(files, lambda stage, done, total: advance(done, total, stage))
    except SealgateError as fault:
        refused = _told(fault)
        refused.advice = advice_of(refused, push)
        raise refused from fault


def _told(fault: SealgateError) -> CommandFailed:
    reason, remedy = (str(getattr(fault, name, "")) for name in ("reason", "remedy"))
    what = f"{fault.public} ({reason})" if reason else fault.public
    problem = {"title": fault.code, "detail": fault.public, "reason": reason}
    return CommandFailed(what, advice=remedy, problem=problem)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise CommandFailed(f"{path} cannot be read") from cause
