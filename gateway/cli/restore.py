"""`sealgate restore`: make a data folder from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.backup import (
    BackupFile,
    ExportOption,
    KeptOption,
    SecretOption,
    evidence_of,
    holding,
    told_of,
)
from gateway.cli.output import JsonFlag, note, progress, show


def restore(
    file: BackupFile,
    to: Annotated[Path, typer.Option(help="The new data folder; absent or empty.")],
    secret: SecretOption = None,
    checkpoints: KeptOption = None,
    exports: ExportOption = None,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Go on where the log lacks entries that a checkpoint tells of."
        ),
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(help="Empty PostgreSQL database for a backup that holds a dump of one."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup back into a new folder, once everything in it holds.

    Give the newest checkpoints that were kept outside: they tell how many entries are missing. Give
    exports that are newer than the backup: erasures in them are made again at the next start,
    before a request is answered. That start records the restore in every log.

    Example: sealgate restore FILE --to ./sealgate-data --unlock-secret unlock.key

    Next: sealgate serve --data ./sealgate-data
    """
    from gateway.composition.environment import system_environment
    from gateway.composition.restore import restore as put_back

    with holding(), progress("restore", quiet=as_json) as advance:
        checked = put_back(
            file,
            to,
            evidence_of(secret, checkpoints, exports),
            system_environment(),
            advance,
            accept_loss=accept_loss,
            database_url=database_url,
        )
    told = {"data": str(to), **told_of(checked)}
    fields = ("data", "id", "shows", "entries", "logs", "missing", "erased")
    show(told, as_json=as_json, fields=fields)
    undone = f"what was changed after {told['shows']} is undone"
    note(f"{undone}: erasures and revocations too, but for what is told under `erased`")
    for key in checked.replaced:
        note(f"at its start the gateway replaces {key} once more, as a key that was lost")
    if any(key.startswith("Key::release/") for key in checked.replaced):
        note("hand out new kits: partners refuse every model of those tenants until then")
    for change in checked.changes:
        what = " ".join(word for word in (change.action, change.reason, change.resource) if word)
        note(f"do again: {what} ({change.receipt})")
    if checked.cut:
        note(f"{checked.cut} more changes are not listed: look for them in the exports")
    if checked.manifest.damaged:
        note(f"{len(checked.manifest.damaged)} payloads are missing: publish those versions anew")
    if checked.manifest.database == "apart":
        note("put your dump of the database back before you start it")
    note("end the old gateway for good: two of one name would fork the logs")
    note(f"next: sealgate serve --data {to}")
