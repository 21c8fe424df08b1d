"""`sealgate keys`: which keys there are, and replacing them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from gateway.cli.approval import told_to_wait
from gateway.cli.connection import connect
from gateway.cli.durations import seconds_of
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    moment,
    note,
    planned,
    show,
    show_list,
    warn,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""List keys and replace them.

    Example: sealgate keys list

    Next: sealgate keys rotate --help
    """,
)

DAY: Final = 86400


class Kind(StrEnum):
    """Keys that can be replaced."""

    TOKEN = "token"  # noqa: S105 - the name of a kind
    POLICY = "policy"
    LOG = "log"
    TENANT = "tenant"
    RELEASE = "release"


OF_THE_PLATFORM: Final = frozenset({Kind.TOKEN, Kind.POLICY})
"""Of which there is one for all tenants."""
WITH_OVERLAP: Final = frozenset({Kind.TOKEN, Kind.TENANT})
"""Of which the old one ends; what the others signed stays good."""


@app.command("list")
def list_keys(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only those of this tenant.")
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the keys of the platform and of tenants, their age, and which of before are accepted.

    A key without an age was made before ages were written down.

    Example: sealgate keys list --tenant st-mary

    Next: sealgate keys rotate log st-mary --confirm st-mary
    """
    with connect(profile) as connection:
        keys = list(connection.items("/v1/keys", tenant=tenant))
    rows = keys if as_json else [key_row(key) for key in keys]
    columns = ("kind", "tenant", "number", "made", "age", "former", "id")
    show_list(rows, as_json=as_json, columns=columns, empty="no key yet")


@app.command()
def rotate(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="token (what access tokens are signed with), policy (what policy sets are signed "
            "with), log (what a tenant's log is signed with), tenant (what wraps the keys of a "
            "tenant's files) or release (what a tenant's partners verify models with)."
        ),
    ],
    tenant: Annotated[
        str | None, typer.Argument(help="Whose; not for tokens and policy sets.")
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option(
            help="How long the old key is accepted, such as 15m or 24h. Tokens: 15m by default, 0 "
            "ends all that it signed at once. Tenant: 24h by default, 1h at least."
        ),
    ] = None,
    lost: Annotated[
        bool,
        typer.Option(
            "--lost",
            help="A release key that is lost or in wrong hands: partners need new kits by hand.",
        ),
    ] = False,
    confirm: Annotated[
        str, typer.Option(help="Repeat the tenant, or the kind: others may know the old key.")
    ] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Replace a key. The running gateway takes the new one over; nothing has to be restarted.

    Tokens: the new key signs at once, and both are published until the old one ends. Log: the old
    key endorses the new one in the log, so who trusts the old one can go on with it. Tenant: stored
    keys are wrapped anew, models are not encrypted anew; the old key is destroyed after its time.
    Policy: the new key signs the set in force of every tenant. Release: the old key names the new
    one, which partners follow by themselves; with --lost it names nothing, all releases are signed
    anew, and partners refuse them until you give them a new kit.

    Where the operator asks for two people the order waits for the second one: exit code 7.

    Example: sealgate keys rotate token --confirm token

    Next: sealgate keys list
    """
    body = _order(kind, tenant, overlap, lost=lost)
    if planned(plan, as_json, f"replace the key of kind {kind.value}", **body):
        return
    check_confirmed(confirm, tenant or kind.value)
    with connect(profile) as connection:
        key = connection.post("/v1/keys/rotate", body)
    if "approval" in key:
        raise told_to_wait(key, as_json=as_json)
    if as_json:
        show(key, as_json=True)
        return
    show(key_row(key), as_json=False, fields=("kind", "tenant", "number", "made", "former", "id"))
    _tell_next(kind, lost=lost)


def _tell_next(kind: Kind, *, lost: bool) -> None:
    """Say what the people on the other side need."""
    if kind is Kind.LOG:
        note("next: hand the new log key out; the old one verifies the log across the change, too")
    if kind is Kind.RELEASE and not lost:
        note("next: sealgate partner keys MODEL --out FILE, for partners without the gateway")
    if kind is Kind.RELEASE and lost:
        warn("partners refuse every model of this tenant until each has accepted a new kit")
        note("next: sealgate partner kit MODEL --out FILE, and tell the hash by another way")


def _order(kind: Kind, tenant: str | None, overlap: str | None, *, lost: bool) -> dict[str, Any]:
    if kind in OF_THE_PLATFORM and tenant is not None:
        raise CommandFailed(
            f"there is one {kind.value} key for all tenants",
            ExitCode.USAGE,
            f"sealgate keys rotate {kind.value} --confirm {kind.value}",
        )
    if kind not in OF_THE_PLATFORM and tenant is None:
        raise CommandFailed(
            "a tenant is missing: each has a key of its own",
            ExitCode.USAGE,
            f"sealgate keys rotate {kind.value} TENANT --confirm TENANT",
        )
    if kind not in WITH_OVERLAP and overlap is not None:
        what = f"what a {kind.value} key signed stays good"
        raise CommandFailed(what, ExitCode.USAGE, "leave out --overlap")
    if lost and kind is not Kind.RELEASE:
        what = "--lost is for release keys; of the other kinds the old key ends either way"
        raise CommandFailed(what, ExitCode.USAGE, "leave out --lost")
    seconds = None if overlap is None else seconds_of("--overlap", overlap)
    return {"kind": kind.value, "tenant": tenant, "overlap_s": seconds, "lost": lost}


def key_row(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key as one row of a table."""
    former = [
        f"{one['number']} until {moment(one['ends'])}" if one["ends"] else str(one["number"])
        for one in key["former"]
    ]
    made = key["made"]
    return {
        **key,
        "former": former,
        "made": None if made is None else moment(made),
        "age": None if made is None else f"{max(0, int(time.time()) - made) // DAY} d",
    }
