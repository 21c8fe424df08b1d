"""`sealgate audit`: search, follow, verify and export the log."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from gateway.cli.connection import Connection, connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import (
    JsonFlag,
    ProfileOption,
    check_writable,
    event_row,
    open_private,
    show,
    show_line,
    show_list,
    show_text,
    show_words,
)
from gateway.cli.reading import appearing

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Search, follow, verify and export the log.

    Example: sealgate audit search --outcome deny

    Next: sealgate audit verify --help
    """,
)

COLUMNS = ("index", "time", "action", "outcome", "client_id", "resource", "reason")
AGAIN_S = 1.0
"""Before a following that ended, as with its token, is begun anew."""

Action = Annotated[
    str | None, typer.Option(help="For instance infer, releaseOutput (an answer) or promote.")
]
Outcome = Annotated[
    str | None,
    typer.Option(
        help="How it was decided, or how it ended.",
        click_type=click.Choice(["allow", "deny", "error", "done"]),
    ),
]


@app.command()
def search(
    action: Action = None,
    outcome: Outcome = None,
    actor: Annotated[str | None, typer.Option(help="Reference of who acted.")] = None,
    subject: Annotated[str | None, typer.Option(help="Reference of a data subject.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of a model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most events.")] = 50,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find events, newest first. The search itself is recorded.

    Example: sealgate audit search --action infer --outcome deny

    Next: sealgate audit show INDEX
    """
    with connect(profile) as connection:
        page = connection.get(
            "/v1/audit/events",
            action=action,
            outcome=outcome,
            actor_ref=actor,
            subject_ref=subject,
            model=model,
            limit=limit,
        )
    rows = page["items"] if as_json else [event_row(item) for item in page["items"]]
    show_list(rows, as_json=as_json, columns=COLUMNS, empty="nothing matches")


@app.command("show")
def show_event(
    index: Annotated[int, typer.Argument(help="Place of the event in the log.")],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one event.

    Example: sealgate audit show 17

    Next: sealgate audit proof 17
    """
    with connect(profile) as connection:
        entry = connection.get(f"/v1/audit/events/{index}")
    if as_json:
        show(entry, as_json=True)
    else:
        show({"receipt": entry["receipt"], **entry["event"]}, as_json=False)


@app.command()
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until stopped.")] = False,
    action: Action = None,
    outcome: Outcome = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=200, help="How many there are at first.")
    ] = 20,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the newest events, oldest of them first.

    Example: sealgate audit tail --follow

    Next: sealgate audit verify --key KEY
    """
    with connect(profile) as connection:
        page = connection.get("/v1/audit/events", action=action, outcome=outcome, limit=lines)
        entries: Iterable[dict[str, Any]] = page["items"][::-1]
        last = -1
        while True:
            for entry in entries:
                show_line(entry if as_json else event_row(entry), as_json=as_json, columns=COLUMNS)
                last = entry["index"]
            if not follow:
                return
            entries = _newer(connection, last, action, outcome)


@app.command()
def proof(
    index: Annotated[int, typer.Argument(help="Place of the event in the log.")],
    out: Annotated[Path | None, typer.Option(help="File for the proof.")] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get the proof that an event is in the log (C2SP tlog-proof).

    Example: sealgate audit proof 17 --out 17.tlog-proof

    Next: sealgate audit export --out audit.zip
    """
    if out is not None:
        check_writable(out)
    with connect(profile) as connection:
        answer = connection.send("GET", f"/v1/audit/proof/{index}")
    if out is not None:
        with open_private(out) as file:
            file.write(answer.content)
    if as_json or out is None:
        told = {"index": index, "proof": answer.text, "file": out and str(out)}
        show_text(answer.text, told, as_json=as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File for the export (zip).")],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get the whole log as one file that proves itself.

    Example: sealgate audit export --out audit.zip

    Next: sealgate audit verify audit.zip --key KEY
    """
    with connect(profile) as connection:
        size = fetch_export(connection, out)
    show({"file": str(out), "entries": size}, as_json=as_json)


@app.command()
def key(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show the key that the gateway says its log is signed with.

    Keep a copy that came to you another way: a gateway that forges its log forges this too.

    Example: sealgate audit key

    Next: sealgate audit verify --key KEY
    """
    with connect(profile) as connection:
        told = connection.get("/v1/audit/key")
    show_text(told["key"], told, as_json=as_json)


@app.command()
def verify(
    path: Annotated[
        Path | None, typer.Argument(help="Export, audit.db or data folder; else the gateway.")
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="Key of the log, from another source.")
    ] = None,
    kept: Annotated[
        list[Path] | None, typer.Option(help="Checkpoint of an earlier visit.", exists=True)
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check every entry, every hash and every signature; exit code 6 unless all hold.

    Example: sealgate audit verify audit.zip --key 'log.example/acme+c3d4a1b2+AV…'

    Next: keep the checkpoint of the export, and give it with --kept next time
    """
    if path is not None:
        _verify(path, keys or [], kept or [], as_json=as_json)
        return
    with connect(profile) as connection, tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "audit.zip"
        fetch_export(connection, fetched)
        _verify(fetched, keys or [], kept or [], as_json=as_json)


def _verify(path: Path, keys: list[str], kept: list[Path], *, as_json: bool) -> None:
    from audit.verify import verify_export
    from audit.verify_folder import is_folder, verify_folder

    check = verify_folder if is_folder(path) else verify_export
    try:
        report = check(path, keys, [checkpoint.read_bytes() for checkpoint in kept])
    except (ValueError, OSError) as cause:
        what = "a key or checkpoint cannot be used"
        advice = "compare it with `sealgate audit key`"
        raise CommandFailed(what, ExitCode.USAGE, advice) from cause
    trees = [
        {
            "log": tree.origin,
            "entries": tree.size,
            "root": tree.root,
            "pruned": tree.pruned,
            "erased": tree.erased,
            "pinned": tree.pinned,
            "findings": [f"{finding.entry}: {finding.what}" for finding in tree.findings],
        }
        for tree in report.trees
    ]
    if as_json:
        show({"status": report.status, "first_bad": report.first_bad, "logs": trees}, as_json=True)
    else:
        show_words(report.status)
        columns = ("log", "entries", "root", "pinned", "findings")
        show_list(trees, as_json=False, columns=columns, empty="there is no log")
    if report.status != "VERIFIED":
        unpinned = [tree.origin for tree in report.trees if not tree.pinned]
        advice = f"give the key of {unpinned[0]} with --key" if unpinned else ""
        if report.status == "FAILED":
            advice = ""
        bad = f": first bad entry {report.first_bad}" if report.first_bad else ""
        if report.first_bad == "?":
            bad = f": {report.trees[0].findings[0].what}"
        raise CommandFailed(f"{report.status.lower()}{bad}", ExitCode.UNVERIFIED, advice)


def fetch_export(connection: Connection, out: Path) -> int:
    """Write the log to `out`, whole or not at all; of two exports at a time each is whole.

    Returns:
        How many entries are in it.

    Raises:
        CommandFailed: `out` cannot be written, or the gateway refuses.
    """
    check_writable(out)
    with (
        connection.stream("GET", "/v1/audit/export") as answer,
        appearing(out, replace=True) as file,
    ):
        for block in answer.iter_bytes():
            file.write(block)
        return int(answer.headers["sealgate-log-size"])


def _newer(
    connection: Connection, last: int, action: str | None, outcome: str | None
) -> Iterator[dict[str, Any]]:
    """Follow the log after an index, until the gateway ends that."""
    asked = {"after": None if last < 0 else last, "action": action, "outcome": outcome}
    query = {name: value for name, value in asked.items() if value is not None}
    with connection.stream("GET", "/v1/audit/follow", params=query, timeout=None) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))
    time.sleep(AGAIN_S)
