"""`sealgate federation`: train with partner sites."""

from __future__ import annotations

import time
from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.connection import Connection, connect
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    note,
    planned,
    progress,
    show,
    show_line,
    show_list,
)
from gateway.strict_json import strict_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Train with partner sites.

    Example: sealgate federation list

    Next: sealgate federation create --help
    """,
)

Name = Annotated[str, typer.Argument(help="Name of the federation.")]
CONFIG = 'Settings of the task (JSON), for instance {"features": 30}.'
LOOK_S = 0.5
"""How often `watch` asks: a round takes seconds."""
STEP = ("seq", "type", "round", "site", "n_examples", "code")


@app.command("list")
def list_federations(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List federations.

    Example: sealgate federation list

    Next: sealgate federation start NAME --version VERSION --rounds 5
    """
    with connect(profile) as connection:
        show_list(
            connection.items("/v1/federations"),
            as_json=as_json,
            columns=("name", "model", "task", "sites", "quorum"),
            empty="no federation yet; next: sealgate federation create NAME --model MODEL",
        )


@app.command()
def create(
    name: Name,
    model: Annotated[str, typer.Option(help="Model that results are published under.")],
    config: Annotated[Path, typer.Option(help=CONFIG, exists=True, dir_okay=False)],
    task: Annotated[str, typer.Option(help="Training task.")] = "logistic-regression",
    quorum: Annotated[int, typer.Option(help="Sites that must take part in each round.")] = 2,
    deadline: Annotated[int, typer.Option(help="Seconds that a round waits.")] = 600,
    calibration: Annotated[
        Path | None, typer.Option(help="Held-out rows (npz) that results are screened with.")
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a federation, at first without sites.

    Example: sealgate federation create lungs --model tumour --config task.json

    Next: sealgate federation add-site lungs st-mary --key st-mary.pub
    """
    from gateway.cli.transfer import upload

    body: dict[str, Any] = {
        "name": name,
        "model": model,
        "task": task,
        "config": _read_json(config),
        "quorum": quorum,
        "deadline_s": deadline,
    }
    if planned(plan, as_json, "create a federation", **body):
        return
    with connect(profile) as connection:
        if calibration is not None:
            body["calibration"] = upload(connection, model, calibration, quiet=as_json)
        show(connection.post("/v1/federations", body), as_json=as_json)


@app.command("add-site")
def add_site(
    federation: Name,
    site: Annotated[str, typer.Argument(help="Name of the site.")],
    key: Annotated[Path, typer.Option(help="Public key of its node.", exists=True, dir_okay=False)],
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Register a site by the public key that it made, and let it take part.

    Example: sealgate federation add-site lungs st-mary --key st-mary.pub

    Next: sealgate federation start lungs --version 2.0 --rounds 5
    """
    body = {"name": site, "public_key": _read_key(key)}
    if planned(plan, as_json, "add a site", federation=federation, **body):
        return
    with connect(profile) as connection:
        made = connection.post(f"/v1/federations/{federation}/sites", body)
    show(made, as_json=as_json, fields=("name", "node_id", "revoked", "created"))


@app.command("revoke-site")
def revoke_site(
    federation: Name,
    site: Annotated[str, typer.Argument(help="Name of the site.")],
    confirm: Annotated[str, typer.Option(help="Repeat the name: this cannot be undone.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Shut a site out of every federation of the tenant, for ever.

    Example: sealgate federation revoke-site lungs st-mary --confirm st-mary

    Next: sealgate federation sites lungs
    """
    if planned(plan, as_json, "revoke a site", site=site):
        return
    check_confirmed(confirm, site)
    with connect(profile) as connection:
        connection.post(f"/v1/federations/{federation}/sites/{site}/revoke")
    show({"site": site, "revoked": True}, as_json=as_json)


@app.command()
def sites(federation: Name, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List the sites of a federation.

    Example: sealgate federation sites lungs

    Next: sealgate federation start lungs --version 2.0 --rounds 5
    """
    with connect(profile) as connection:
        show_list(
            connection.items(f"/v1/federations/{federation}/sites"),
            as_json=as_json,
            columns=("name", "node_id", "revoked"),
            empty="no site yet; next: sealgate federation add-site",
        )


@app.command()
def start(
    federation: Name,
    version: Annotated[str, typer.Option(help="Version that the result is published as.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")],
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = False,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Start a run.

    Example: sealgate federation start lungs --version 2.0 --rounds 5 --wait

    Next: sealgate federation watch lungs RUN
    """
    body = {"version": version, "rounds": rounds}
    if planned(plan, as_json, "start a run", federation=federation, **body):
        return
    with connect(profile) as connection:
        run = connection.post(f"/v1/federations/{federation}/rounds", body)
        if not wait:
            show(run, as_json=as_json)
            note(f"next: sealgate federation watch {federation} {run['id']}")
            return
        _watch(connection, federation, run["id"], as_json=as_json)


@app.command()
def watch(
    federation: Name,
    run: Annotated[str, typer.Argument(help="Id of the run.")],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Follow a run: each step as it is recorded, until the result is published.

    Example: sealgate federation watch lungs 018f…

    Next: sealgate model promote tumour 2.0
    """
    with connect(profile) as connection:
        _watch(connection, federation, run, as_json=as_json)


def _watch(connection: Connection, federation: str, run_id: str, *, as_json: bool) -> None:
    path = f"/v1/federations/{federation}/rounds/{run_id}/events"
    after, finished = 0, 0
    with progress(f"run {run_id[:8]}", quiet=as_json) as advance:
        while True:
            page = connection.get(path, after=after or None)
            run = page["run"]
            for step in page["items"]:
                after = step["seq"]
                show_line(step, as_json=as_json, columns=STEP)
                finished = max(finished, _finished(step))
            advance(finished, run["rounds"], f"round {finished} of {run['rounds']}")
            if run["state"] in {"finished", "failed"}:
                break
            time.sleep(LOOK_S)
    if run["state"] == "failed":
        raise CommandFailed(f"the run failed ({run['reason'] or 'unknown'})")
    show_line(run, as_json=as_json, columns=("id", "state", "version"))


def _finished(step: dict[str, Any]) -> int:
    return int(step["round"] or 0) if step["type"] == "round_aggregated" else 0


def _read_key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandFailed(f"{path} cannot be read as text", ExitCode.USAGE) from cause


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = strict_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as cause:
        raise CommandFailed(f"{path} cannot be read", ExitCode.USAGE) from cause
    except ValueError as cause:
        raise CommandFailed(f"{path} cannot be read: {cause}", ExitCode.USAGE) from cause
    if not isinstance(value, dict):
        raise CommandFailed("the settings must be a JSON object", ExitCode.USAGE)
    return value
