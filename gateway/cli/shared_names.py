"""How people write the name of another tenant's model: `owner~model`, or `owner/model`. Pure.

The gateway knows the first form only. A slash is what many write, and no name holds one.
"""

from __future__ import annotations

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.names import OF, split_shared


def wire_name(name: str) -> str:
    """Return the name as the gateway knows it; what is no name of another tenant's model stays."""
    changed = name.replace("/", OF, 1)
    return changed if split_shared(changed) else name


def owner_and_model(name: str) -> tuple[str, str]:
    """Return whose model is meant, and which.

    Raises:
        CommandFailed: It is no name of another tenant's model.
    """
    parts = split_shared(wire_name(name))
    if parts is None:
        what = f"`{name}` is no name of another tenant's model"
        raise CommandFailed(what, ExitCode.USAGE, "write OWNER~MODEL: sealgate model shared")
    return parts
