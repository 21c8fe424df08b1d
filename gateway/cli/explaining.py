"""`sealgate policy explain`: how a request would be decided, and what would change that."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.connection import connect
from gateway.cli.output import JsonFlag, ProfileOption, show, show_words
from gateway.cli.shared_names import wire_name


def explain(
    action: Annotated[str, typer.Argument(help="For instance infer or downloadArtifact.")],
    model: Annotated[
        str | None, typer.Argument(help="Name of a model, where it is done to one.")
    ] = None,
    version: Annotated[
        str | None, typer.Argument(help="Version of it, where it is done to one.")
    ] = None,
    federation: Annotated[str | None, typer.Option(help="Name of a federation.")] = None,
    client: Annotated[
        str | None,
        typer.Option(help="Whose request; yours by default. Of a site: its name. Authors only."),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(help="What the screen would say: pass, flag, degrade, block or unscreened."),
    ] = None,
    recipient: Annotated[
        str | None, typer.Option(help="Key that an artifact would be for, such as age1…")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="Of the processing; the client's own by default.")
    ] = None,
    scope: Annotated[list[str] | None, typer.Option(help="Scopes of the token; repeat it.")] = None,
    binding: Annotated[
        str | None, typer.Option(help="What the token is bound to: none, dpop or mtls.")
    ] = None,
    approvals: Annotated[
        int, typer.Option(help="How many people are behind the change.", min=1, max=9)
    ] = 1,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell how a request would be decided, by which policies, and the smallest change.

    Example: sealgate policy explain releaseOutput tumour 1.0 --verdict flag

    Next: sealgate policy show
    """
    asked = {
        "action": action,
        "model": None if model is None else wire_name(model),
        "version": version,
        "federation": federation,
        "client": client,
        "verdict": verdict,
        "recipient": recipient,
        "purpose": purpose,
        "scopes": scope or None,
        "binding": binding,
        "approvals": approvals,
    }
    body = {name: value for name, value in asked.items() if value is not None}
    with connect(profile) as connection:
        found = connection.post("/v1/policies/explain", body)
    if as_json:
        show(found, as_json=True)
    else:
        _tell(found)


def _tell(found: dict[str, Any]) -> None:
    show_words("allowed" if found["allowed"] else "refused")
    if found["error"]:
        show_words(f"  {'error':<13}{found['error']}")
    show_words(f"  {'policy epoch':<13}{found['epoch']}")
    for name in found["policy_ids"]:
        show_words(f"  {'decided by':<13}{name}")
    lead = "to be allowed:"
    for change in found["change"]:
        what = "must apply" if change["effect"] == "permit" else "must not apply"
        show_words(f"{lead:<15}{change['policy']} {what}")
        for condition in change["conditions"] or ["(only another policy set helps)"]:
            show_words(f"{'':<17}{' '.join(condition.split())}")
        lead = "and:"
    for note in found["notes"]:
        show_words(f"note: {note}")
