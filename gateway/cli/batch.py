"""`sealgate model batch`: ask a model about a file of rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli.connection import Connection, connect
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    check_writable,
    note,
    planned,
    progress,
    show,
    show_list,
)
from gateway.cli.purposes import name_the_purpose
from gateway.cli.shared_names import wire_name

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Ask a model about a file of rows; the answers are sealed to a key of yours.

    Example: sealgate model batch run tumour rows.parquet --out answers.parquet

    Next: sealgate model batch list
    """,
)

FORMATS: Final = {".npz": "npz", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""Ending of a file → its format."""
LOOK_S: Final = 0.3
"""How often a running job is asked about: a chunk takes some ten milliseconds."""
ENDED: Final = frozenset({"finished", "stopped", "failed", "cancelled"})
SHOWN: Final = ("id", "model", "version", "state", "reason", "rows", "done", "created", "expires")

_NEXT: Final = {
    "failed": "mend the rows, and run them again",
    "stopped": "ask who took the model, the purpose or the client away; then run the rest again",
}

Job = Annotated[str, typer.Argument(help="Id of the job.")]
Out = Annotated[Path, typer.Option(help="Where the answers go: .npz, .jsonl or .parquet.")]
IDENTITY = "age identity that opens the results; made here if there is none (mode 0600)."


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    rows: Annotated[
        Path,
        typer.Argument(help="The rows: .npz, .jsonl or .parquet.", exists=True, dir_okay=False),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the answers go: .npz, .jsonl or .parquet.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="A version; else the released one.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose; else your default one.")] = None,
    subject_file: Annotated[
        Path | None,
        typer.Option(
            help="File with your identifier of the one person whom all rows are about.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    identity: Annotated[Path | None, typer.Option(help=IDENTITY)] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end and fetch the answers.")] = True,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Send rows, wait, and write the answers, opened on this machine.

    Without --identity the key lives in memory only: a run that is cut off cannot be fetched later.

    Example: sealgate model batch run tumour rows.jsonl --out answers.jsonl

    Next: sealgate model batch list
    """
    from gateway.cli.batch_results import check_format, fetch
    from gateway.cli.identity import identity_for
    from gateway.cli.transfer import upload

    form = format_of(rows)
    if wait != (out is not None):
        raise CommandFailed(
            "name a file for the answers, or do not wait", ExitCode.USAGE, "add --out or --no-wait"
        )
    if not wait and identity is None:
        raise CommandFailed(
            "a key in memory would be lost", ExitCode.USAGE, "add --identity batch.key"
        )
    if out is not None:
        check_format(format_of(out))
        check_writable(out)
    subject = _subject(subject_file)
    model = wire_name(model)
    if planned(plan, as_json, "ask about a file of rows", model=model, rows=str(rows)):
        return
    key = identity_for(identity)
    with connect(profile) as connection:
        about = {"use": "rows", **({"version": version} if version else {})}
        body = {
            "model": model,
            "version": version,
            "upload": upload(connection, model, rows, quiet=as_json, **about),
            "format": form,
            "recipient": str(key.recipient),
            "purpose": purpose,
            "subject": subject,
        }
        try:
            job = connection.post("/v1/batches", body)
        except CommandFailed as refused:
            name_the_purpose(refused, connection, purpose)
            raise
        if out is None:
            show(job, as_json=as_json, fields=SHOWN)
            note(f"next: sealgate model batch fetch {job['id']} --identity {identity} --out FILE")
            return
        if not as_json:
            note(f"job: {job['id']}")
        job = _follow(connection, job, quiet=as_json)
        report = fetch(connection, job, key, out, format_of(out), quiet=as_json)
    show(_told(job) | report, as_json=as_json)
    _fail_unless_finished(job)


@app.command("list")
def list_jobs(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List your jobs, oldest first.

    Example: sealgate model batch list

    Next: sealgate model batch show JOB
    """
    with connect(profile) as connection:
        show_list(
            [_told(job) for job in connection.items("/v1/batches")],
            as_json=as_json,
            columns=SHOWN[:7],
            empty="no job yet; next: sealgate model batch run MODEL ROWS --out FILE",
        )


@app.command("show")
def show_job(job: Job, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show a job and how far it is.

    Example: sealgate model batch show 018f…

    Next: sealgate model batch fetch JOB --identity batch.key --out answers.jsonl
    """
    with connect(profile) as connection:
        show(_told(connection.get(f"/v1/batches/{job}")), as_json=as_json)


@app.command()
def cancel(
    job: Job, profile: ProfileOption = None, plan: PlanFlag = False, as_json: JsonFlag = False
) -> None:
    """Stop a job; what it has answered can still be fetched.

    Example: sealgate model batch cancel 018f…

    Next: sealgate model batch fetch JOB --identity batch.key --out answers.jsonl
    """
    if planned(plan, as_json, "stop a job", job=job):
        return
    with connect(profile) as connection:
        ended = connection.post(f"/v1/batches/{job}/cancel")
    show(_told(ended), as_json=as_json, fields=SHOWN)


@app.command()
def fetch(
    job: Job,
    identity: Annotated[Path, typer.Option(help="The age identity of the job.", exists=True)],
    out: Out,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get the answers that there are; goes on where an earlier attempt was cut off.

    Example: sealgate model batch fetch 018f… --identity batch.key --out answers.jsonl

    Next: sealgate model batch delete JOB --confirm JOB
    """
    from gateway.cli.batch_results import check_format
    from gateway.cli.batch_results import fetch as fetch_results
    from gateway.cli.identity import identity_for

    form = format_of(out)
    check_format(form)
    check_writable(out)
    key = identity_for(identity)
    with connect(profile) as connection:
        found = connection.get(f"/v1/batches/{job}")
        if found["state"] not in ENDED:
            found = _follow(connection, found, quiet=as_json)
        report = fetch_results(connection, found, key, out, form, quiet=as_json)
    show(_told(found) | report, as_json=as_json)
    _fail_unless_finished(found)


@app.command()
def delete(
    job: Job,
    confirm: Annotated[str, typer.Option(help="Repeat the id: this cannot be undone.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Throw away a job, its rows and its answers.

    Example: sealgate model batch delete 018f… --confirm 018f…

    Next: sealgate model batch list
    """
    if planned(plan, as_json, "throw away a job", job=job):
        return
    check_confirmed(confirm, job)
    with connect(profile) as connection:
        connection.send("DELETE", f"/v1/batches/{job}")
    show({"id": job, "deleted": True}, as_json=as_json)


def format_of(path: Path) -> str:
    """Return the format that the ending of a file names.

    Raises:
        CommandFailed: It names none.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise CommandFailed(
            f"{path} has no ending that names a format",
            ExitCode.USAGE,
            "use .npz, .jsonl or .parquet",
        )
    return form


def _subject(path: Path | None) -> str | None:
    """Read the identifier from a file: what stands in a command line is seen by `ps`."""
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandFailed(f"{path} cannot be read as text", ExitCode.USAGE) from cause


def _follow(connection: Connection, job: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    with progress(f"job {job['id'][:8]}", quiet=quiet) as advance:
        while job["state"] not in ENDED:
            time.sleep(LOOK_S)
            job = connection.get(f"/v1/batches/{job['id']}")
            done = job["done"]
            if job["state"] == "queued":
                advance(0, 1, "reading the rows")
            else:
                advance(done["rows"], job["rows"], f"{done['rows']} of {job['rows']} rows")
    return job


def _told(job: dict[str, Any]) -> dict[str, Any]:
    """The job in the terms of its user."""
    done = job["done"]
    return {**job, "answered": done["rows"] - done["refused"], "refused": done["refused"]}


def _fail_unless_finished(job: dict[str, Any]) -> None:
    if job["state"] == "finished":
        return
    where = "" if job["row"] is None else f", row {job['row']}"
    where += "" if job["input"] is None else f", input {job['input']}"
    how = {"failed": "failed", "stopped": "was stopped", "cancelled": "was cancelled"}
    why = f": {job['detail']}" if job["detail"] else ""
    state, reason = how.get(job["state"], job["state"]), job["reason"] or "as asked"
    raise CommandFailed(
        f"the job {state}{why} ({reason}{where})",
        advice=_NEXT.get(job["state"], "sealgate model batch list"),
    )
