"""`sealgate why`: what was decided about a request, and what would have to change."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, ProfileOption, moment, show, show_words

NEEDED = "ask somebody with the role officer and the scope audit to run it; the id is theirs to use"
ABSENT = (
    "check the id; an answer of another tenant, one without a token and most readings leave no "
    "record in your tenant's log. A record that came an hour or a thousand others after its "
    "request began is found by sealgate audit search"
)


def why(
    request: Annotated[str, typer.Argument(help="Id of a request: Sealgate-Request-Id.")],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell what was decided about a request, by which rules, and what would have to change.

    It needs the right to review the tenant's log: the role officer and the scope audit, unless
    the tenant's policies say otherwise. Asking is recorded.

    Example: sealgate why 01980f3c-1f2a-7c3e-9a51-5d8b6f0c2e77

    Next: sealgate policy show
    """
    with connect(profile) as connection:
        try:
            found = connection.get(f"/v1/requests/{quote(request, safe='')}")
        except CommandFailed as refused:
            advice = {ExitCode.DENIED: NEEDED, ExitCode.NOT_FOUND: ABSENT}
            refused.advice = advice.get(refused.code, refused.advice)
            raise
    if as_json:
        show(found, as_json=True)
        return
    for record in found["records"]:
        _tell(record)


def _tell(record: dict[str, Any]) -> None:
    event = record["event"]
    ended = {"deny": "refused", "allow": "allowed", "error": "failed"}.get(
        event["outcome"], event["outcome"]
    )
    why = f" ({event['reason']})" if event.get("reason") else ""
    show_words(f"{event['action']} {ended}{why}")
    for name in ("client_id", "resource", "purpose", "policy_epoch"):
        if event.get(name):
            show_words(f"  {name.replace('_', ' '):<13}{event[name]}")
    show_words(f"  {'time':<13}{moment(event['ts'] / 1_000_000_000)}")
    show_words(f"  {'record':<13}{record['receipt']}")
    for rule in record["rules"]:
        _tell_rule(rule, deciding=rule["applies"] is not False)
    for note in record["notes"]:
        show_words(f"note: {note}")


def _tell_rule(rule: dict[str, Any], *, deciding: bool) -> None:
    head = f"{rule['effect']}s" if deciding else f"would {rule['effect']}"
    show_words(f"\n{rule['id']} {head}")
    for line in (
        rule["text"] or "(a rule of another tenant, or of a set that is gone)"
    ).splitlines():
        show_words(f"    {line}")
    for number, way in enumerate(rule["ways"]):
        lead = "to change that:" if not number else "or:"
        for condition in way or ["(nothing that could be told)"]:
            show_words(f"  {lead:<16}{' '.join(condition.split())}")
            lead = "and:"
