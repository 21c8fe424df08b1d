"""Commands of partner sites and of local trials: `sealgate site …`, `sealgate federation …`.

An error of this package ends a command: `sealgate` tells it, with what helps.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from federated.log_lines import configure
from federated.plan import Event
from federated.simulation import Simulated, simulate

site = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Take part in a federation from a partner site.

    Example: sealgate site status --config site.toml

    Next: sealgate site keygen --help
    """,
)
federation = typer.Typer(help="Train with partner sites.", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="The site's configuration (TOML).")]


@site.command()
def keygen(
    out: Annotated[Path, typer.Option(help="Where the private key is written (new file, 0600).")],
    as_json: JsonFlag = False,
) -> None:
    """Make the site's node key here; print its public half, which the convenor registers.

    Example: sealgate site keygen --out node.key

    Next: sealgate site run --config site.toml
    """
    from federated.site.keys import generate

    public = generate(out)
    typer.echo(json.dumps({"file": str(out), "public_key": public}) if as_json else public)


@site.command()
def run(config: ConfigFile) -> None:
    """Take part until interrupted; what happens is told on standard error, as lines of JSON.

    Example: sealgate site run --config site.toml

    Next: sealgate site status --config site.toml
    """
    from federated.site.config import load
    from federated.site.runner import SiteRunner

    configure()
    runner = SiteRunner(load(config), random_bytes=secrets.token_bytes)
    asyncio.run(runner.run())


@site.command()
def status(
    config: ConfigFile,
    as_json: JsonFlag = False,
) -> None:
    """Show whether the site runs and is connected; exit code 1 when it is not.

    Example: sealgate site status --config site.toml

    Next: sealgate site run --config site.toml
    """
    from federated.site.config import load
    from federated.site.runner import read_status

    found = read_status(load(config).state) or {"running": False}
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for name, value in found.items():
            typer.echo(f"{name:10} {value}")
    connected = found["running"] and found.get("supernode") == "ready"
    raise typer.Exit(0 if connected else 1)


@federation.callback()
def federation_group() -> None:
    """Train with partner sites."""


@federation.command(name="simulate")
def simulate_command(
    sites: Annotated[int, typer.Option(min=1, max=64, help="How many sites.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How many rounds.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the made-up rows.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the ONNX model here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Run rounds over made-up sites in this process: the same rules, no network.

    Example: sealgate federation simulate --sites 3 --rounds 5

    Next: sealgate federation create --help
    """
    console = Console(stderr=False)
    if as_json:
        outcome = simulate(sites, rounds, seed, lambda event: _print_json(event))
    elif console.is_terminal:
        outcome = _with_progress(console, sites, rounds, seed)
    else:
        outcome = simulate(sites, rounds, seed, lambda event: _print_line(event))
    if out is not None:
        out.write_bytes(outcome.model)
    if not as_json:
        console.print(f"accuracy over all rows: {outcome.accuracy:.3f}", highlight=False)


def _with_progress(console: Console, sites: int, rounds: int, seed: int) -> Simulated:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("rounds", total=rounds)

        def show(event: Event) -> None:
            if event.type == "round_aggregated" and event.round:
                progress.update(bar, completed=event.round)
                progress.console.print(_line(event), highlight=False)

        return simulate(sites, rounds, seed, show)


def _print_json(event: Event) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")


def _print_line(event: Event) -> None:
    sys.stdout.write(_line(event) + "\n")


def _line(event: Event) -> str:
    parts = [event.type.replace("_", " ")]
    if event.round is not None:
        parts.append(f"round {event.round}")
    if event.site is not None:
        parts.append(event.site)
    if event.n_examples is not None:
        parts.append(f"{event.n_examples} rows")
    parts += [f"{name} {value:.4f}" for name, value in event.metrics.items()]
    if event.code is not None:
        parts.append(event.code)
    return "  ".join(parts)
