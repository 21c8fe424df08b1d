"""`sealgate partner`: hand out a kit, accept one, see what is trusted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import KIT_LIMIT, Kit, parse_kit
from gateway.artifacts.trust import TrustRecord, accepting
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, ProfileOption, moment, note, show, show_list
from gateway.cli.reading import appearing, check_absent, read_bounded, unverified
from gateway.cli.trust_folder import START_AGAIN, TrustFolder, TrustOption, find_trust
from gateway.cli.trusting import warning

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Hand the keys of your tenant to a partner, or accept those of another.

    Example: sealgate partner kit tumour --owner-key owner.key --out clinic.kit

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """,
)
KitFile = Annotated[Path, typer.Argument(help="The kit's file.")]


@app.command("kit")
def hand_out(
    models: Annotated[list[str], typer.Argument(help="Models that the partner will get.")],
    out: Annotated[Path, typer.Option(help="New file for the kit.")],
    owner_key: Annotated[
        list[Path] | None,
        typer.Option("--owner-key", help="Your signing key or its public half, as you hold it."),
    ] = None,
    trust: TrustOption = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the file that a partner verifies your models with, and print its hash.

    Send the file any way you like, and tell the hash over another channel: by telephone, in person.

    Example: sealgate partner kit tumour --owner-key owner.key --out clinic.kit

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """
    from gateway.cli.connection import connect
    from gateway.cli.kit_making import gather

    check_absent(out)
    with connect(profile) as connection:
        made = gather(connection, models, owner_key or [])
    _check_known(find_trust(trust), made.kit)
    with appearing(out) as file:
        file.write(made.kit.encode())
    told = {"file": str(out), "sha256": made.kit.digest(), **_about(made.kit)}
    if made.unheld:
        told["warning"] = warning(
            "the owners' keys are those that the gateway tells; name yours with --owner-key"
        )
    for version in made.left_out:
        note(f"`{version}` is signed by none of the keys: the kit does not cover it")
    show(told, as_json=as_json)
    if not as_json:
        note("tell the hash to your partner over another channel than the file")


@app.command()
def accept(
    kit: KitFile,
    sha256: Annotated[
        str | None, typer.Option(help="The hash, as the owner told you over another channel.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of the kit that you trust so far.")
    ] = False,
    start_again: Annotated[
        bool, typer.Option("--start-again", help="After what you had seen was lost.")
    ] = False,
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Trust a tenant's keys from now on, after comparing the kit's hash.

    Example: sealgate partner accept clinic.kit --sha256 HASH

    Next: sealgate model download NAME VERSION -i site.key --out model.onnx.age
    """
    given = _read_kit(kit)
    _check_hash(given, sha256)
    folder = find_trust(trust)
    was_here = folder.was_here(given.tenant)
    with folder.locked(given.tenant):
        before = _before(folder, given, was_here, replace=replace, start_again=start_again)
        try:
            record = accepting(given, time.time(), before)
            folder.save(record)
        except StatementInvalid as error:
            raise unverified(error, "get the newest kit from the model's owner") from error
    told = {"accepted": True, "sha256": given.digest(), **_about(given)}
    if start_again:
        told["warning"] = warning("what you had seen is lost: only the kit keeps old releases out")
    show(told, as_json=as_json)


@app.command("show")
def show_kit(kit: KitFile, as_json: JsonFlag = False) -> None:
    """Show what a kit holds, and its hash. It is not accepted.

    Example: sealgate partner show clinic.kit

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """
    given = _read_kit(kit)
    show({"sha256": given.digest(), **_about(given), "newest": given.newest}, as_json=as_json)


@app.command("list")
def list_trusted(trust: TrustOption = None, as_json: JsonFlag = False) -> None:
    """Show whom you trust, and the newest release of each model that you have seen.

    Example: sealgate partner list --json

    Next: sealgate partner accept clinic.kit --sha256 HASH
    """
    folder = find_trust(trust)
    rows = [row for tenant in folder.tenants() for row in _rows(folder.load(tenant))]
    columns = ("tenant", "model", "version", "newest", "release_key")
    empty = "no partner's kit was accepted here; next: sealgate partner accept --help"
    show_list(rows, as_json=as_json, columns=columns, empty=empty)


def _rows(record: TrustRecord) -> list[dict[str, Any]]:
    about = {"tenant": record.kit.tenant, "release_key": record.kit.release_key}
    rows = []
    for model, seen in sorted(record.models.items()):
        names = [name for name, known in seen.versions.items() if known.created == seen.newest]
        newest = moment(seen.newest)
        rows.append(
            {**about, "model": model, "version": names[0] if names else "", "newest": newest}
        )
    return rows or [{**about, "model": "", "version": "", "newest": ""}]


def _about(kit: Kit) -> dict[str, Any]:
    return {
        "tenant": kit.tenant,
        "release_key": kit.release_key,
        "owner_keys": list(kit.owner_keys),
        "created": kit.created,
    }


def _read_kit(path: Path) -> Kit:
    try:
        return parse_kit(read_bounded(path, KIT_LIMIT + 1))
    except StatementInvalid as error:
        advice = "ask the owner for the file again, unchanged: not pasted, not opened and saved"
        raise unverified(error, advice) from error


def _check_hash(kit: Kit, told: str | None) -> None:
    """Compare a kit's hash with what a person brings.

    Raises:
        CommandFailed: They differ, or nothing was brought.
    """
    if told is None:
        raise CommandFailed(
            f"nothing was accepted; the hash of this file is {kit.digest()}",
            ExitCode.USAGE,
            "hear the hash from the owner over another channel, and give what you heard: --sha256",
        )
    if "".join(told.split()).lower() != kit.digest():
        raise CommandFailed(
            "the file does not have this hash: it is another kit, or the hash was misheard",
            ExitCode.UNVERIFIED,
            "hear the hash from the owner again; if it differs still, somebody changed the file",
        )


def _before(
    folder: TrustFolder, kit: Kit, was_here: bool, *, replace: bool, start_again: bool
) -> TrustRecord | None:
    """Return what is kept so far; what was lost or would be changed is not passed over.

    Raises:
        CommandFailed: A record is lost, or another kit is trusted, and no flag says to go on.
    """
    if start_again:
        if folder.has_record(kit.tenant):
            _check_lost(folder, kit.tenant)
        return None
    if not was_here:
        return None
    record = folder.load(kit.tenant)
    if record.kit != kit and not replace:
        same = record.kit.release_key == kit.release_key
        what = "the release key is the same" if same else "the release key is another one"
        raise CommandFailed(
            f"you trust another kit of this tenant; {what}",
            ExitCode.UNVERIFIED,
            "ask the owner over another channel why there is a new one; then: --replace",
        )
    return record


def _check_lost(folder: TrustFolder, tenant: str) -> None:
    """Refuse to start again over a record that is whole."""
    try:
        folder.load(tenant)
    except CommandFailed:
        return
    what = "nothing is lost: what you trust and have seen is here"
    raise CommandFailed(what, ExitCode.USAGE, f"leave out {START_AGAIN.rsplit(' ', 1)[1]}")


def _check_known(folder: TrustFolder, kit: Kit) -> None:
    """Tell who makes a kit that the gateway shows another key than they trust.

    Raises:
        CommandFailed: It does.
    """
    if folder.was_here(kit.tenant):
        record = folder.load(kit.tenant)
        if record.kit.release_key != kit.release_key:
            raise CommandFailed(
                "the gateway shows another release key than the kit that you accepted",
                ExitCode.UNVERIFIED,
                "hand nothing out; ask who runs the gateway, over another channel",
            )
