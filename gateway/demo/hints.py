"""What a reader is told when the demo stays up: it works in another shell, in any folder. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from gateway.demo.place import MARK, Place


def hints(place: Place, officer: Path, program: str) -> list[tuple[str, str]]:
    """Return what each address or command is for, and the address or command.

    Args:
        place: Of the demo.
        officer: Profile of who may read the log.
        program: What starts `sealgate`, quoted for a shell.
    """
    profile = f"--profile {shlex.quote(str(officer))}"
    return [
        ("first steps", f"{place.operations_url}/"),
        ("API", f"{place.url}/docs"),
        ("metrics", f"{place.operations_url}/metrics"),
        ("clients, secrets", str(place.folder / MARK)),
        ("search the log", f"{program} audit search {profile}"),
        ("watch it", f"{program} audit tail --follow {profile}"),
    ]


def program_of(executable: Path, *, environment: bool) -> str:
    """Return what starts this `sealgate` in another shell.

    Args:
        executable: The interpreter that runs.
        environment: It is a virtual environment's, which another shell has not entered.
    """
    script = executable.with_name("sealgate")
    if script.exists():
        return shlex.quote(str(script)) if environment else "sealgate"
    return f"{shlex.quote(str(executable))} -m gateway"
