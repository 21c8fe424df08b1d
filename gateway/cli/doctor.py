"""`sealgate doctor`: look at a gateway's place and say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.failures import ExitCode
from gateway.cli.output import JsonFlag, note, show_list, show_words
from gateway.cli.serve import DataFolder

_SIGNS: Final = {"ok": "✓", "warning": "!", "fault": "✗", "skipped": "-"}


def doctor(
    data: DataFolder = Path("sealgate-data"),
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Look at data folder, keys, stores, doors, sandbox and engines, and say what is wrong.

    Nothing is changed, and the gateway may run meanwhile. The exit code is 0 when all is well, and
    6 when something is not.

    Example: sealgate doctor --data ./sealgate-data

    Next: sealgate serve --data ./sealgate-data
    """
    from gateway.composition.doctor import examine
    from gateway.composition.environment import system_environment
    from gateway.settings import load_settings
    from gateway.telemetry import configure_logs

    configure_logs("error")
    found = []
    for finding in examine(data, lambda: load_settings(data), system_environment()):
        found.append(finding)
        if not as_json:
            show_words(f"{_SIGNS[finding.state]} {finding.check:<20} {finding.what}")
            if finding.next:
                show_words(f"  next: {finding.next}")
    if as_json:
        rows = [
            {"check": each.check, "state": each.state, "what": each.what, "next": each.next}
            for each in found
        ]
        show_list(rows, as_json=True, columns=(), empty="")
    bad = {"fault", "warning"} if strict else {"fault"}
    count = sum(each.state in bad for each in found)
    if count:
        note(f"{count} of {len(found)} looks found something wrong")
        raise typer.Exit(ExitCode.UNVERIFIED)
