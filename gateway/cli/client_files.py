"""The files of a client: its profile, and its secret beside it; both for their owner alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import check_writable


def secret_file(profile: Path) -> Path:
    """Return where the secret of a new profile goes."""
    return profile.with_name(profile.name + ".secret")


def write_profile(out: Path, url: str, made: dict[str, Any]) -> None:
    """Write the profile of a client and its secret into new files.

    Raises:
        CommandFailed: One cannot be made: the secret is lost.
    """
    secret = secret_file(out)
    content = {
        "url": url,
        "client_id": made["id"],
        "secret_file": secret.name,
        "binding": made["token_binding"],
    }
    for path, text in ((secret, made["client_secret"]), (out, json.dumps(content, indent=2))):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as cause:
            raise CommandFailed(
                f"{path} cannot be made; the client exists and its secret is lost",
                advice=f"sealgate client disable {made['id']} --tenant {made['tenant']}",
            ) from cause
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def check_replaceable(out: Path, client: str) -> None:
    """Refuse early where `write_rotated` could not write.

    Raises:
        CommandFailed: There is a file that is no profile of this client with a secret, or the
            folder is not ours to write in.
    """
    check_writable(out)
    if out.exists():
        check_writable(_held_secret(out, client))
    elif secret_file(out).exists():
        raise CommandFailed(f"{secret_file(out)} exists; nothing was changed", ExitCode.USAGE)


def write_rotated(out: Path, url: str, made: dict[str, Any]) -> None:
    """Write a new secret: into the profile that is there, at once and whole, or with a new one.

    Raises:
        CommandFailed: It cannot be written: the new secret is lost, the old one goes on to its end.
    """
    again = f"sealgate client rotate {made['id']} --tenant {made['tenant']} --out FILE"
    try:
        if not out.exists():
            write_profile(out, url, made)
            return
        path = _held_secret(out, made["id"])
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(made["client_secret"])
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except (OSError, CommandFailed) as cause:
        what = "the new secret cannot be written and is lost; the old one goes on to its end"
        raise CommandFailed(what, advice=again) from cause


def _held_secret(profile: Path, client: str) -> Path:
    """Return the file of the secret that a profile of the client names."""
    try:
        held = json.loads(profile.read_bytes())
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict) or held.get("client_id") != client or "secret_file" not in held:
        raise CommandFailed(
            f"{profile} is no profile of this client with a secret; nothing was changed",
            ExitCode.USAGE,
            "name another file with --out",
        )
    return profile.parent / str(held["secret_file"])
