"""`sealgate backup`: copy a gateway's place while it runs, and check a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, moment, note, progress, show, show_words, warn
from gateway.cli.serve import DataFolder

if TYPE_CHECKING:
    from gateway.composition.restore import Checked, Evidence

app = typer.Typer(
    add_completion=False,
    help="""Copy a data folder to one file, while its gateway runs or does not.

    The file shows one instant and holds log, records, keys, models and settings. What opens the
    keystore is not in it: keep that secret apart, without it the backup is of no use.

    Example: sealgate backup --data ./sealgate-data --to /mnt/backups

    Next: sealgate backup verify FILE --unlock-secret unlock.key
    """,
)

BackupFile = Annotated[Path, typer.Argument(help="The backup.", exists=True, dir_okay=False)]
SecretOption = Annotated[
    Path | None,
    typer.Option(
        "--unlock-secret",
        help="File of the key, passphrase or credential that opens the keystore; by default the "
        "one that SEALGATE_KEYSTORE_SECRET names, never one that the backup does.",
    ),
]
KeptOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        help="Checkpoint that was kept outside (or a checkpoints.json); may be repeated.",
    ),
]
ExportOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--export", help="Export of a log that is newer than the backup; may be repeated."
    ),
]


@app.callback(invoke_without_command=True)
def backup(
    context: typer.Context,
    data: DataFolder = Path("sealgate-data"),
    to: Annotated[
        Path | None,
        typer.Option(help="File for the backup; or a folder, where it gets a name of its own."),
    ] = None,
    apart: Annotated[
        bool,
        typer.Option(
            "--database-apart",
            help="Leave out the records in PostgreSQL: you dump them, while the gateway stands.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a backup; see the help of the group."""
    if context.invoked_subcommand is not None:
        return
    if to is None:
        show_words(context.get_help())
        raise typer.Exit(ExitCode.OK)
    from gateway.composition.backup import back_up
    from gateway.composition.environment import system_environment
    from gateway.settings import load_settings

    with progress("backup", quiet=as_json) as advance:
        made = back_up(load_settings(data), to, system_environment(), advance, apart=apart)
    manifest = made.manifest
    told = {
        "file": str(made.path),
        "id": manifest.id,
        "at": manifest.at,
        "bytes": made.path.stat().st_size,
        "entries": manifest.entries(),
        "payloads": sum(file.name.startswith("artifacts/") for file in manifest.files),
        "database": manifest.database,
        "left_out": manifest.left_out,
        "damaged": manifest.damaged,
    }
    show(told, as_json=as_json)
    if manifest.database == "apart":
        warn(
            "the records in PostgreSQL are not in it: dump them before the gateway is started "
            f"again, and keep the dump beside it. {DUMP_HINT}"
        )
    if made.password:
        warn(
            "the backup holds a password in clear, of `database_url`: put it in a file of mode "
            "0600, and add ?passfile=/path/of/the/file to the address"
        )
    if manifest.damaged:
        raise CommandFailed(
            f"{len(manifest.damaged)} payloads are damaged on this disk and not in the backup",
            ExitCode.UNVERIFIED,
            "keep the older backups; publish those versions anew",
        )
    note("what opens the keystore is not in it: keep that secret where the backup is not")
    note(f"next: sealgate backup verify {made.path} --unlock-secret FILE")


@app.command()
def verify(
    file: BackupFile,
    secret: SecretOption = None,
    checkpoints: KeptOption = None,
    exports: ExportOption = None,
    as_json: JsonFlag = False,
) -> None:
    """See whether a backup could be put back: each file, the keys, every entry of the logs.

    The databases are unpacked into the folder for temporary files (TMPDIR) meanwhile. Exit code 6
    when something does not hold.

    Example: sealgate backup verify FILE --unlock-secret unlock.key

    Next: sealgate restore FILE --to FOLDER
    """
    from gateway.composition.environment import system_environment
    from gateway.composition.restore import verify as check

    with holding(), progress("verify", quiet=as_json) as advance:
        checked = check(
            file, evidence_of(secret, checkpoints, exports), system_environment(), advance
        )
    show({"status": "VERIFIED", **told_of(checked)}, as_json=as_json, fields=FIELDS)
    if checked.manifest.database == "apart":
        warn(
            "nothing was seen of the records in PostgreSQL, which were left apart: the dump that "
            f"belongs to it is of {moment(checked.manifest.at)}"
        )
    note(f"next: sealgate restore {file} --to FOLDER --unlock-secret FILE")


FIELDS = ("status", "id", "at", "entries", "logs", "database", "missing", "erased")
DUMP_HINT = (
    "In the database's container: pg_dump --format=custom --no-owner --no-privileges "
    "--username USER DATABASE"
)


def evidence_of(
    secret: Path | None, checkpoints: list[Path] | None, exports: list[Path] | None
) -> Evidence:
    """Return what was given beside a backup."""
    from gateway.composition.restore import Evidence

    return Evidence(secret=secret, checkpoints=checkpoints or (), exports=exports or ())


def told_of(checked: Checked) -> dict[str, Any]:
    """Return what is told of a backup that holds."""
    return {
        "id": checked.manifest.id,
        "at": checked.manifest.at,
        "version": checked.manifest.version,
        "entries": checked.manifest.entries(),
        "logs": sorted(checked.manifest.checkpoints),
        "database": checked.manifest.database,
        "damaged": checked.manifest.damaged,
        "missing": checked.missing,
        "erased": [ref for _, ref in checked.erased],
        "keys_replaced": checked.replaced,
        "changes": [
            {
                "receipt": one.receipt,
                "action": one.action,
                "resource": one.resource,
                "reason": one.reason,
            }
            for one in checked.changes
        ],
        "changes_cut": checked.cut,
        "shows": moment(checked.manifest.at),
    }


@contextmanager
def holding() -> Iterator[None]:
    """Give what does not hold the exit code of what does not verify."""
    from gateway.artifacts.errors import KeystoreCorrupt
    from gateway.backup.errors import BackupOlder, BackupUnsound

    try:
        yield
    except (BackupUnsound, BackupOlder) as fault:
        problem: dict[str, Any] = {"title": fault.code, "detail": fault.public}
        if isinstance(fault, BackupOlder):
            problem["missing"] = fault.missing
        raise CommandFailed(fault.public, ExitCode.UNVERIFIED, fault.advice, problem) from fault
    except KeystoreCorrupt as fault:
        what = "the keystore of the backup does not open with this secret"
        advice = "give the secret of the time of the backup: --unlock-secret FILE"
        raise CommandFailed(what, ExitCode.UNVERIFIED, advice) from fault
