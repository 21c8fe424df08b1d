"""Which profile a command uses, and how it fails where that one cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.client import errors, profile
from gateway.client.profile import Profile
from gateway.names import is_name

__all__ = ["DEFAULT", "VARIABLE", "Profile", "find_profile", "load_profile", "told"]

VARIABLE: Final = "SEALGATE_PROFILE"
DEFAULT: Final = Path("~/.config/sealgate/profile.json")
FOLDER: Final = Path("~/.config/sealgate/profiles")
"""Where profiles with a name are: `NAME.json`."""
CURRENT: Final = Path("~/.config/sealgate/current")
"""Holds the name of the one that commands use."""


def find_profile(given: Path | None) -> Path:
    """Return the profile file to use: option over environment over the chosen one, or the default.

    A word without a path names a profile; where there is none, the file that is called so.
    """
    if given is not None:
        return named_profile(str(given))
    named = os.environ.get(VARIABLE)
    return named_profile(named) if named else _chosen() or DEFAULT.expanduser()


def named_profile(word: str) -> Path:
    """Return the file of a profile that is given by its name, or by its path."""
    path = Path(word)
    if path.name != word or path.suffix or not is_name(word):
        return path
    named = FOLDER.expanduser() / f"{word}.json"
    # What lies in the folder where a command is run is somebody else's, perhaps.
    return path if path.is_file() and not named.exists() else named


def _chosen() -> Path | None:
    try:
        name = CURRENT.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    found = FOLDER.expanduser() / f"{name}.json"
    return found if is_name(name) and found.exists() else None


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
