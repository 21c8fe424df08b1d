"""`sealgate model share`, `unshare`, `shared`, `accept-share`, `decline`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.cli.connection import Connection, connect
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.guessing import name_the_wrong
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    moment,
    note,
    planned,
    show,
    show_list,
)
from gateway.cli.shared_names import owner_and_model, wire_name

COLUMNS = ("name", "tenant", "state", "infer", "download", "versions", "purposes", "until")
TIMES = ("until", "offered", "accepted")
Name = Annotated[str, typer.Argument(help="Name of your model.")]
Theirs = Annotated[str, typer.Argument(help="OWNER~MODEL, as `model shared` lists it.")]
To = Annotated[str, typer.Option("--with", help="The other tenant.")]


def share(
    name: Name,
    tenant: To,
    confirm: Annotated[str, typer.Option(help="Repeat the name of the model.")],
    infer: Annotated[bool, typer.Option(help="It may be called.")] = True,
    download: Annotated[
        bool, typer.Option("--download", help="It may be handed out to keys of the other tenant.")
    ] = False,
    version: Annotated[
        list[str] | None, typer.Option(help="Only this version; else all that are released.")
    ] = None,
    purpose: Annotated[
        list[str] | None, typer.Option(help="Only for this purpose; else for any.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="When it ends: 2026-12-31 (the start of that day, UTC).")
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Offer a model to another tenant; it is shared once that one accepts.

    Other terms for the same tenant are another offer: what was shared ends until it is accepted.

    Example: sealgate model share tumour --with clinic --purpose care --confirm tumour

    Next: sealgate model shared tumour
    """
    check_confirmed(confirm, name)
    body = {
        "infer": infer,
        "download": download,
        "versions": version or [],
        "purposes": purpose or [],
        "until": None if until is None else _moment(until),
    }
    if planned(plan, as_json, "offer", model=name, tenant=tenant, **body):
        return
    with connect(profile) as connection:
        made = _offer(connection, name, tenant, body)
    show(readable(made, as_json), as_json=as_json)
    if not as_json:
        note(f"next, in {tenant}: sealgate model accept-share {made['name']}")


def unshare(
    name: Name,
    tenant: To,
    confirm: Annotated[str, typer.Option(help="Repeat the name of the model.")],
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """End what a model is shared with another tenant, at once.

    Example: sealgate model unshare tumour --with clinic --confirm tumour

    Next: sealgate model shared tumour
    """
    check_confirmed(confirm, name)
    if planned(plan, as_json, "unshare", model=name, tenant=tenant):
        return
    with connect(profile) as connection:
        connection.send("DELETE", f"/v1/models/{name}/sharing/{tenant}")
    show({"model": name, "tenant": tenant, "state": "ended"}, as_json=as_json)


def shared(
    name: Annotated[
        str | None, typer.Argument(help="A model of yours: with whom it is shared.")
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List what other tenants share with yours or offer to it; or with whom yours is shared.

    Example: sealgate model shared

    Next: sealgate model accept-share OWNER~MODEL
    """
    with connect(profile) as connection:
        path = "/v1/shared" if name is None else f"/v1/models/{name}/sharing"
        found = [readable(one, as_json) for one in connection.items(path)]
    empty = (
        "nothing is shared with your tenant; next: give its name to the owner of a model"
        if name is None
        else f"shared with nobody; next: sealgate model share {name} --with TENANT --confirm {name}"
    )
    show_list(found, as_json=as_json, columns=COLUMNS, empty=empty)


def accept_share(
    name: Theirs,
    offer: Annotated[
        str | None, typer.Option(help="Id of the offer that you looked at; else the present one.")
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Accept an offer: from then on the model can be used as OWNER~MODEL.

    Example: sealgate model accept-share hospital~tumour

    Next: sealgate call hospital~tumour rows.json
    """
    owner, model = owner_and_model(name)
    path = f"/v1/shared/{owner}/{model}"
    with connect(profile) as connection:
        seen = offer or connection.get(path)["offer"]
        if planned(plan, as_json, "accept", name=wire_name(name), offer=seen):
            return
        taken = _accept(connection, path, seen)
    show(readable(taken, as_json), as_json=as_json)
    if not as_json:
        use = "call {} ROWS" if taken["infer"] else "model download {} VERSION -i KEY --out FILE"
        note(f"next: sealgate {use.format(taken['name'])}")


def decline(
    name: Theirs,
    confirm: Annotated[str, typer.Option(help="Repeat the name.")],
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Refuse an offer, or end what is shared with your tenant, at once.

    Example: sealgate model decline hospital~tumour --confirm hospital~tumour

    Next: sealgate model shared
    """
    check_confirmed(confirm, name)
    owner, model = owner_and_model(name)
    if planned(plan, as_json, "decline", name=wire_name(name)):
        return
    with connect(profile) as connection:
        connection.send("DELETE", f"/v1/shared/{owner}/{model}")
    show({"name": wire_name(name), "state": "ended"}, as_json=as_json)


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Return what is shared with the caller's tenant as `model list` shows models."""
    return [
        {"name": one["name"], "personal": None, "data_class": "", "shared_with": [one["tenant"]]}
        for one in connection.items("/v1/shared")
        if one["state"] == "accepted"
    ]


def _offer(connection: Connection, name: str, tenant: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        made: dict[str, Any] = connection.put(f"/v1/models/{name}/sharing/{tenant}", body)
    except CommandFailed as refused:
        name_the_wrong(refused, {"tenant": tenant})
        raise
    return made


def _accept(connection: Connection, path: str, offer: str) -> dict[str, Any]:
    try:
        taken: dict[str, Any] = connection.put(path, {"offer": offer})
    except CommandFailed as refused:
        if refused.problem.get("type", "").endswith("state-conflict"):
            refused.advice = "the offer has other terms now: sealgate model shared"
        raise
    return taken


def readable(sharing: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """Return what is agreed or offered with times and terms in words; for JSON as it is."""
    if as_json:
        return sharing
    times = {name: sharing[name] for name in TIMES if sharing[name] is not None}
    return {
        **sharing,
        "versions": sharing["versions"] or "released",
        "purposes": sharing["purposes"] or "any",
        **{name: moment(seconds) for name, seconds in times.items()},
    }


def _moment(text: str) -> int:
    """Return Unix seconds of a date or a date and time; without a zone it is UTC."""
    try:
        named = datetime.fromisoformat(text)
    except ValueError as cause:
        what = "--until must be a date like 2026-12-31, or 2026-12-31T18:00"
        raise CommandFailed(what, ExitCode.USAGE, "write it so") from cause
    return int((named if named.tzinfo else named.replace(tzinfo=UTC)).timestamp())
