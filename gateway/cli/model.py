"""`sealgate model`: publish, release and download models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import batch, upload
from gateway.cli.connection import connect
from gateway.cli.convert import convert
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.model_download import download_model
from gateway.cli.model_sharing import (
    accept_share,
    decline,
    listed,
    readable,
    share,
    shared,
    unshare,
)
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    note,
    planned,
    show,
    show_list,
    show_text,
)
from gateway.cli.shared_names import wire_name
from gateway.names import split_shared

TRIAL = "engine_trial"
"""A fact that is long: told to scripts only."""
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Publish, release and download models.

    Example: sealgate model list

    Next: sealgate model push --help
    """,
)

app.add_typer(batch.app, name="batch")
app.add_typer(upload.app, name="upload")
app.command()(convert)

Name = Annotated[str, typer.Argument(help="Name of the model.")]
Version = Annotated[str, typer.Argument(help="Version of the model.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(help="New file for the private key (mode 0600).")],
    as_json: JsonFlag = False,
) -> None:
    """Make the key that signs your models. Keep it; the gateway never sees it.

    Example: sealgate model keygen --out owner.key

    Next: sealgate model push NAME VERSION model.onnx --key owner.key
    """
    from gateway.cli.owner_key import write_owner_key

    public = write_owner_key(out)
    show_text(public, {"file": str(out), "public_key": public}, as_json=as_json)
    note(f"private key: {out}")


@app.command()
def create(
    name: Name,
    personal: Annotated[
        bool, typer.Option(help="Whether requests concern people; then each names its subject.")
    ],
    data_class: Annotated[str, typer.Option(help="Class of the data.")] = "internal",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Register a name to publish under.

    Example: sealgate model create tumour --personal --data-class health

    Next: sealgate model push tumour 1.0 model.onnx --key owner.key
    """
    body = {"name": name, "personal": personal, "data_class": data_class}
    if planned(plan, as_json, "register a model", **body):
        return
    with connect(profile) as connection:
        show(connection.post("/v1/models", body), as_json=as_json)


@app.command()
def push(
    name: Name,
    version: Version,
    file: Annotated[Path, typer.Argument(help="The model, ONNX.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option("--key", help="Your signing key.", exists=True)],
    calibration: Annotated[
        Path | None,
        typer.Option(help="Labelled rows (npz with x and y) that screening is calibrated with."),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(help="Inputs that it runs on (npz, an array by input name)."),
    ] = None,
    allow_nan: Annotated[
        list[str] | None,
        typer.Option(help="An input in which missing values (NaN) and infinities are allowed."),
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX expression.")] = "",
    wait: Annotated[bool, typer.Option(help="Wait until it is a candidate.")] = True,
    rehearsed: Annotated[
        bool,
        typer.Option("--dry-run", help="Admit and calibrate it here, and send nothing."),
    ] = False,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign a model, send it sealed, and make it a candidate.

    Example: sealgate model push tumour 1.0 model.onnx --key owner.key --calibration rows.npz

    Next: sealgate model promote tumour 1.0
    """
    from gateway.cli.owner_key import sign_model
    from gateway.cli.pushing import Push, check_possible, check_servable, send
    from gateway.cli.pushing import wait as wait_until_candidate

    push = Push(name, version, file, key, calibration, sample, tuple(allow_nan or ()))
    check_servable(push)
    if rehearsed:
        from gateway.cli.dry_run import dry_run

        facts = dry_run(push, quiet=as_json)
        show(
            {"model": name, "version": version, "state": "not sent", "facts": facts},
            as_json=as_json,
        )
        if not as_json:
            note(f"next: {push.command()}")
        return
    signature = sign_model(key, file, name)
    if planned(plan, as_json, "publish", model=name, version=version, file=str(file)):
        return
    signed = {
        "owner_bundle": signature.bundle,
        "owner_key": signature.public_key,
        "licence": licence,
    }
    with connect(profile) as connection:
        check_possible(connection, push)
        job = send(connection, push, signed, quiet=as_json)
        if not wait:
            show(job, as_json=as_json)
            return
        made = wait_until_candidate(connection, push, job, quiet=as_json)
    facts = {name: fact for name, fact in made["facts"].items() if as_json or name != TRIAL}
    show({**made, "facts": facts}, as_json=as_json, fields=("model", "version", "state", "facts"))
    if not as_json:
        for missing in filter(None, made["facts"].get("takes_missing", "").split(",")):
            note(f"its trees take missing values; to let callers send them: --allow-nan {missing}")
        note(f"next: sealgate model promote {name} {version}")


@app.command("list")
def list_models(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List models: your tenant's, and those that others share with it, as OWNER~MODEL.

    Example: sealgate model list --json

    Next: sealgate model show NAME
    """
    with connect(profile) as connection:
        show_list(
            [*connection.items("/v1/models"), *listed(connection)],
            as_json=as_json,
            columns=("name", "personal", "data_class", "shared_with"),
            empty="no model yet; next: sealgate model create NAME --personal",
        )


@app.command("show")
def show_model(
    name: Name,
    version: Annotated[str | None, typer.Argument(help="One version of it.")] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a model and its versions, or one version; of OWNER~MODEL what is shared.

    Example: sealgate model show tumour

    Next: sealgate model promote tumour 1.0
    """
    name = wire_name(name)
    theirs = split_shared(name)
    with connect(profile) as connection:
        if version is not None:
            show(connection.get(f"/v1/models/{name}/versions/{version}"), as_json=as_json)
            return
        found = connection.get(
            "/v1/shared/{}/{}".format(*theirs) if theirs else f"/v1/models/{name}"
        )
        versions = list(connection.items(f"/v1/models/{name}/versions"))
    if as_json:
        show({**found, "versions": versions}, as_json=True)
        return
    current = found.pop("current", None)
    served = {} if theirs else {"served": current["version"] if current else None}
    told = readable(found, as_json=False) if theirs else found
    show({**told, **served}, as_json=False)
    columns = ("version", "state", "reason", "source", "created_by")
    show_list(versions, as_json=False, columns=columns, empty="no version yet")


@app.command()
def history(name: Name, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show what was served when.

    Example: sealgate model history tumour

    Next: sealgate model rollback tumour
    """
    with connect(profile) as connection:
        show_list(
            connection.items(f"/v1/models/{name}/release"),
            as_json=as_json,
            columns=("sequence", "action", "version", "previous", "by", "at"),
            empty="nothing was released yet",
        )


@app.command()
def promote(
    name: Name,
    version: Version,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Serve a version from now on.

    Example: sealgate model promote tumour 1.0

    Next: sealgate model history tumour
    """
    if planned(plan, as_json, "promote", model=name, version=version):
        return
    with connect(profile) as connection:
        try:
            entry = connection.post(f"/v1/models/{name}/versions/{version}/promote")
        except CommandFailed as refused:
            raise _second_person(refused) from refused
    show(entry, as_json=as_json, fields=("model", "version", "previous", "by"))


@app.command()
def rollback(
    name: Name,
    to: Annotated[str | None, typer.Option(help="A released version; else the last one.")] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Serve an earlier release again.

    Example: sealgate model rollback tumour

    Next: sealgate model history tumour
    """
    if planned(plan, as_json, "roll back", model=name, to=to):
        return
    with connect(profile) as connection:
        entry = connection.post(f"/v1/models/{name}/release", {"version": to})
    show(entry, as_json=as_json, fields=("model", "version", "previous", "by"))


@app.command()
def retire(
    name: Name,
    version: Version,
    confirm: Annotated[str, typer.Option(help="Repeat the version: this cannot be undone.")],
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Take a version out of service for good.

    Example: sealgate model retire tumour 1.0 --confirm 1.0

    Next: sealgate model show tumour
    """
    check_confirmed(confirm, version)
    if planned(plan, as_json, "retire", model=name, version=version):
        return
    with connect(profile) as connection:
        gone = connection.post(f"/v1/models/{name}/versions/{version}/retire")
    show(gone, as_json=as_json, fields=("model", "version", "state"))


for command in (share, unshare, shared, accept_share, decline):
    app.command()(command)
app.command("download")(download_model)


def _second_person(refused: CommandFailed) -> CommandFailed:
    """A refusal for want of a second person is a wait, not a failure."""
    if "platform-four-eyes" in (refused.problem.get("policy_ids") or []):
        return CommandFailed(
            "a second person must promote what you published",
            ExitCode.WAITING,
            "ask another owner to run this command",
            refused.problem,
        )
    return refused
