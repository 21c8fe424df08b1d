"""Which profile a command uses, and how it fails where that one cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.client import errors, profile
from gateway.client.profile import Profile

__all__ = ["DEFAULT", "VARIABLE", "Profile", "find_profile", "load_profile", "told"]

VARIABLE: Final = "SEALGATE_PROFILE"
DEFAULT: Final = Path("~/.config/sealgate/profile.json")


def find_profile(given: Path | None) -> Path:
    """Return the profile file to use: option over environment over default."""
    if given is not None:
        return given
    named = os.environ.get(VARIABLE)
    return Path(named) if named else DEFAULT.expanduser()


def load_profile(path: Path) -> Profile:
    """Read a profile and the credentials that it names.

    Raises:
        CommandFailed: It is missing, malformed, or others could read its credentials.
    """
    try:
        return profile.load_profile(path)
    except errors.ProfileInvalid as fault:
        raise told(fault) from fault


def told(fault: errors.ClientFault) -> CommandFailed:
    """Turn a fault of the caller's side into the end of a command."""
    return CommandFailed(fault.what, ExitCode.SIGN_IN, fault.advice)
