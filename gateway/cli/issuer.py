"""`sealgate issuer`: which issuers of tokens are trusted, and whether a token of one fits."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, note, plain, show_list, show_words
from gateway.cli.serve import DataFolder
from gateway.strict_json import strict_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Show the issuers of tokens that are trusted, and check one, or a token of it.

    Example: sealgate issuer list --data ./sealgate-data

    Next: sealgate issuer check --help
    """,
)

MAX_INPUT: Final = 65_536
"""Bytes of standard input: a token in whatever it came in."""
_SIGNS: Final = {"ok": "✓", "broken": "✗", "unavailable": "?"}
_NONE: Final = "no other issuer is trusted: see docs/tutorials/connect-an-issuer.md"


@app.command("list")
def list_issuers(
    data: DataFolder = Path("sealgate-data"),
    as_json: JsonFlag = False,
) -> None:
    """List the issuers that the settings name, beside the gateway's own.

    Example: sealgate issuer list --data ./sealgate-data

    Next: sealgate issuer check NAME --data ./sealgate-data
    """
    rows = [
        {
            "name": entry.name,
            "issuer": entry.issuer,
            "audience": entry.audience,
            "tenants": sorted(entry.allowed_tenants),
            "clients": dict(entry.clients),
            "algorithms": sorted(entry.algorithms),
            "longest_seconds": entry.max_token_seconds,
            "opaque_tokens": entry.introspection is not None,
        }
        for entry in _trusted(data)
    ]
    columns = ("name", "issuer", "audience", "tenants", "clients", "algorithms")
    show_list(rows, as_json=as_json, columns=columns, empty=_NONE)


@app.command("check")
def check(
    name: Annotated[
        str | None,
        typer.Argument(help="Name or address of the issuer; not needed where there is only one."),
    ] = None,
    data: DataFolder = Path("sealgate-data"),
    as_json: JsonFlag = False,
) -> None:
    """Fetch the keys of an issuer, and tell which rules a token on standard input meets or breaks.

    The token may come as it is, as an `Authorization` header or in the answer of a token endpoint.
    It is never shown, and goes nowhere; an opaque one goes to the issuer's introspection endpoint.
    From `/dev/null`, or typed without one, the keys alone are checked.
    Nothing is changed, and the gateway need not run. The exit code is 0 when all is well, 6 when
    a rule is broken, and 75 when the issuer cannot be asked.

    Example: sealgate issuer check keycloak --data ./sealgate-data < token.txt

    Next: sealgate issuer list --data ./sealgate-data
    """
    trust = _named(_trusted(data), name)
    token = _given()
    found = asyncio.run(_looks(trust, token))
    _show(found, as_json=as_json)
    if token is None:
        note("next: give a token on standard input, to see which rules it meets")
    states = {one.state for one in found}
    if "unavailable" in states:
        raise typer.Exit(ExitCode.TRY_AGAIN)
    if "broken" in states:
        raise typer.Exit(ExitCode.UNVERIFIED)


def _show(found: list[Any], *, as_json: bool) -> None:
    if as_json:
        names = ("check", "state", "what", "found", "next")
        rows = [{name: getattr(one, name) for name in names} for one in found]
        show_list(rows, as_json=True, columns=(), empty="")
        return
    for one in found:
        told = f": {plain(one.found)}" if one.found else ""
        show_words(f"{_SIGNS[one.state]} {one.check:<14} {one.what}{told}")
        if one.next:
            show_words(f"  next: {one.next}")


async def _looks(trust: Any, token: bytes | None) -> list[Any]:
    from gateway.composition.issuer_check import look

    return [one async for one in look(trust, token, time.time, time.monotonic)]


def _trusted(data: Path) -> list[Any]:
    from gateway.composition.trusted_issuers import trusted
    from gateway.settings import load_settings
    from gateway.telemetry import configure_logs

    configure_logs("error")
    return trusted(load_settings(data))


def _named(entries: list[Any], name: str | None) -> Any:
    if not entries:
        raise CommandFailed("no other issuer is trusted", ExitCode.NOT_FOUND, _NONE)
    found = [one for one in entries if name in (None, one.name, one.issuer)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.name for one in entries)
    if name is None:
        raise CommandFailed("several issuers are trusted", ExitCode.USAGE, f"name one: {names}")
    raise CommandFailed("no trusted issuer is called so", ExitCode.NOT_FOUND, f"there are: {names}")


def _given() -> bytes | None:
    """Return the token on standard input; None where a person or nobody is there.

    An empty pipe is neither: what should have told the token failed.
    """
    if sys.stdin.isatty():
        return None
    given = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(given) > MAX_INPUT:
        raise CommandFailed("standard input is too long for a token", ExitCode.USAGE)
    text = given.strip()
    if not text and not Path("/dev/stdin").is_char_device():
        raise CommandFailed(
            "standard input is empty",
            ExitCode.USAGE,
            "see what the command before the pipe says; to check the keys alone: < /dev/null",
        )
    return _token(text) if text else None


def _token(text: bytes) -> bytes:
    """Return the token of what is on standard input, in whatever form it came."""
    if text.startswith(b"{"):
        return _of_answer(text)
    for line in text.splitlines():
        head, colon, rest = line.partition(b":")
        if colon and head.strip().lower() == b"authorization":
            text = rest.strip()
    kind, blank, rest = text.partition(b" ")
    return rest.strip() if blank and kind.lower() in {b"bearer", b"dpop"} else text


def _of_answer(text: bytes) -> bytes:
    try:
        answer = strict_json(text)
    except ValueError:
        answer = None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str):
        raise CommandFailed(
            "standard input holds no `access_token`",
            ExitCode.USAGE,
            "give the token, or the whole answer of the token endpoint",
        )
    return token.encode("utf-8", "replace")
