"""A purpose that a client is not registered for: named, with those that it is."""

from __future__ import annotations

from typing import Final

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.guessing import advice

_REFUSED: Final = frozenset({ExitCode.DENIED, ExitCode.NOT_FOUND, ExitCode.USAGE})


def name_the_purpose(refused: CommandFailed, connection: Connection, purpose: str | None) -> None:
    """Say in a refusal that the purpose is none of the caller's, if it is none.

    Args:
        refused: What the gateway said; changed in place.
        connection: Tells the caller's own purposes.
        purpose: What was asked for; None: the default one.
    """
    if refused.code not in _REFUSED:
        return
    try:
        seen = connection.get("/v1/whoami")
    except CommandFailed:
        return
    registered = [str(one) for one in seen.get("purposes") or ()]
    if purpose is not None and purpose not in registered:
        refused.what = f"{refused.what}; `{purpose}` is no purpose of this client"
        refused.advice = advice([purpose], registered) or "ask an administrator to register one"
    elif purpose is None and seen.get("default_purpose") is None:
        refused.what = f"{refused.what}; no purpose was given, and this client has no default"
        refused.advice = advice([], registered) or "ask an administrator to register one"
