"""The age identity of a batch job: in memory, or in a file that the user named."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gateway.artifacts.age import Identity, generate_identity
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.identity_file import read_identities
from gateway.cli.output import note


def identity_for(path: Path | None) -> Identity:
    """Return the identity in a file; a fresh one, written there, if there is no such file.

    Without a file it lives as long as this process.

    Raises:
        CommandFailed: The file cannot be read or made, or holds no single identity.
    """
    if path is None:
        return generate_identity(secrets.token_bytes)
    if path.exists():
        return _read(path)
    made = generate_identity(secrets.token_bytes)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as cause:
        raise CommandFailed(f"{path} cannot be made", ExitCode.USAGE) from cause
    with os.fdopen(descriptor, "w") as file:
        file.write(f"# public key: {made.recipient}\n{made.secret}\n")
    note(f"identity: {path}")
    return made


def _read(path: Path) -> Identity:
    found = read_identities(path)
    if len(found) != 1:
        what, advice = f"{path} holds more than one age identity", "leave one in the file"
        raise CommandFailed(what, ExitCode.USAGE, advice)
    return found[0]
