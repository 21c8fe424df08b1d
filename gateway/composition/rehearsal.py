"""A push tried out on its owner's machine: the gateway's own admission and calibration.

1. Nothing is sent: the files are looked at in confined processes of this machine, as the gateway
   would (`gateway.registry.packaging`).
2. It promises no more than that. Whether the owner may push is decided by the gateway alone, and
   engines are tried out there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.artifacts.admission import admit
from gateway.artifacts.sandbox import run_sandboxed
from gateway.registry.packaging import allowing_nan, calibrate, examine, facts_of
from gateway.work.jobs import Progress

STAGES: Final = 2


@dataclass(frozen=True, slots=True)
class Files:
    """What would be pushed.

    Attributes:
        plain: The ONNX bytes.
        calibration: The npz bytes, or None: then there is no screen.
        sample: The npz bytes of inputs that it must run on, or None: then others are tried.
        allow_nan: Inputs in which not-a-number and infinities are values like any other.
    """

    plain: bytes
    calibration: bytes | None
    sample: bytes | None
    allow_nan: frozenset[str]


def rehearse(files: Files, progress: Progress) -> dict[str, str]:
    """Admit and calibrate; returns what the registry would tell of the version.

    Raises:
        ModelRefused: Admission says no.
        PublishRefused: The calibration set, or a name in `allow_nan`, is not acceptable.
        SandboxFailed: A confined job did not finish.
    """
    progress("admission", 0, STAGES)
    report = examine(admit, files)
    allowing_nan(report.inputs, files.allow_nan)
    if files.calibration is not None:
        progress("calibration", 1, STAGES)
    screen = calibrate(run_sandboxed, files)
    return facts_of(files, report, screen)
