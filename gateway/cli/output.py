"""The one way to print: results on standard output, everything else on standard error.

On a terminal results are tables; in a pipe they are lines with tabs; with `--json` they are one
JSON value, or one a line where a command follows something, and standard error holds nothing but
warnings and, as its last line, an error, as JSON too.

1. What others wrote stays in its place: what would end a cell or a line, or steer a terminal, is
   shown as an escape, and a cell of text that a spreadsheet would compute is marked as text
   (`gateway.cli.spreadsheet`).
2. JSON is of ASCII letters only, and holds no word that JSON does not have (NaN, Infinity).
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Protocol

import click
import typer

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.spreadsheet import harmless

if TYPE_CHECKING:
    from rich.progress import Progress

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile", help="Profile: name or file; else SEALGATE_PROFILE, else the chosen one."
    ),
]

PlanFlag = Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")]

Row = Mapping[str, Any]
TIMES: Final = frozenset({"created", "at", "expires", "started"})
"""Fields that hold Unix seconds."""


def planned(plan: bool, as_json: bool, action: str, **details: Any) -> bool:
    """With `--plan`, print what would be done and return True: the command then stops."""
    if plan:
        show({"would": action, **details}, as_json=as_json)
    return plan


def show(value: Mapping[str, Any], *, as_json: bool, fields: Sequence[str] = ()) -> None:
    """Print one record: all of it as JSON, else the named fields (all when none is named)."""
    if as_json:
        print(dumps(value))
        return
    names = fields or list(value)
    width = max(len(name) for name in names)
    for name in names:
        print(f"{name.replace('_', ' '):<{width}}  {_told(value, name)}")


def show_text(text: str, value: object, *, as_json: bool) -> None:
    """Print a result that is a text as it is, or as JSON the value that holds it."""
    if as_json:
        print(dumps(value))
    else:
        print(text, end="" if text.endswith("\n") else "\n", flush=True)


def show_words(line: str) -> None:
    """Print a line of a result that is told in words; the command prints its JSON elsewhere."""
    print(line, flush=True)


def show_list(rows: Iterable[Row], *, as_json: bool, columns: Sequence[str], empty: str) -> None:
    """Print records as a table; says `empty` on standard error when there are none."""
    found = list(rows)
    if as_json:
        print(dumps(found))
    elif not found:
        note(empty)
    elif sys.stdout.isatty():
        _table(found, columns)
    else:
        for row in found:
            print("\t".join(harmless(_told(row, column)) for column in columns))


def show_line(value: Row, *, as_json: bool, columns: Sequence[str]) -> None:
    """Print one item of a stream at once: an object or a line."""
    text = dumps(value) if as_json else "  ".join(plain(value.get(c)) for c in columns)
    print(text, flush=True)


def dumps(value: object) -> str:
    """Return one line of JSON; numbers that JSON does not have become null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def note(text: str) -> None:
    """Tell something that is not the result; not to a program, which reads JSON."""
    context = click.get_current_context(silent=True)
    if context is None or not context.params.get("as_json"):
        print(text, file=sys.stderr)


def ask(text: str) -> None:
    """Tell what a person has to do before the command goes on, also to who reads JSON."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Say loudly what is not as it should be, also to who reads JSON."""
    print(f"warning: {text}", file=sys.stderr)


def plain(value: object) -> str:
    """Return a value in words."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={plain(item)}" for name, item in value.items()) or "-"
    return "".join(one if one.isprintable() else _escaped(one) for one in str(value))


def _escaped(character: str) -> str:
    """Return a character that ends lines, steers terminals or is not seen as an escape."""
    return character.encode("unicode_escape").decode("ascii")


def event_row(entry: Mapping[str, Any]) -> Row:
    """Return an entry of the log as one row of a table."""
    event = entry["event"]
    return {**event, "index": entry["index"], "time": moment(event["ts"] / 1_000_000_000)}


def _told(row: Row, name: str) -> str:
    value = row.get(name)
    return moment(value) if name in TIMES and isinstance(value, int) else plain(value)


def moment(seconds: float) -> str:
    """Return Unix seconds as a time in UTC; beyond the year 9999 as the number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"


def check_writable(path: Path) -> None:
    """Refuse early what could not be written later.

    Raises:
        CommandFailed: The folder of `path` is absent or not ours to write in.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CommandFailed(f"{path} cannot be written", ExitCode.USAGE, "check the folder")


def open_private(path: Path) -> BinaryIO:
    """Open a new file that only its owner may read; one of that name makes room for it."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


class Advance(Protocol):
    """Tells how far long work is."""

    def __call__(self, done: float, total: float, stage: str = "") -> None:
        """`done` out of `total`; `stage` in words."""


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Advance]:
    """Show a bar on a terminal, and one line a stage elsewhere, on standard error."""
    if quiet:
        yield _silent
    elif sys.stderr.isatty():
        with _bar(what) as advance:
            yield advance
    else:
        yield _Lines(what)


def _silent(done: float, total: float, stage: str = "") -> None:
    del done, total, stage


class _Lines:
    """One line for each new stage, and at every quarter of a stage without a name."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told = ""

    def __call__(self, done: float, total: float, stage: str = "") -> None:
        quarter = int(4 * done / total) * 25 if total else 0
        text = stage or f"{quarter} %"
        if text != self._told:
            self._told = text
            note(f"{self._what}: {text}")


@contextmanager
def _bar(what: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        stages = Stages(bar, what)
        yield stages
        stages.end()


class Stages:
    """A bar for each stage: it runs to and fro until the next one begins, then it is full.

    Work without stages has one bar, which shows how much of it is done.

    Args:
        bar: Where the bars are.
        what: What is done, in words.
    """

    def __init__(self, bar: Progress, what: str) -> None:
        self._bar = bar
        self._what = what
        self._stage = ""
        self._task = bar.add_task(what, total=None)

    def __call__(self, done: float, total: float, stage: str = "") -> None:
        """See `Advance`."""
        if not stage:
            self._bar.update(self._task, completed=done, total=total)
        elif stage != self._stage:
            if self._stage:
                self._fill()
                self._task = self._bar.add_task(self._what, total=None)
            self._stage = stage
            self._bar.update(self._task, description=f"{self._what}: {stage}")

    def end(self) -> None:
        """Fill the last bar; work that failed does not come here, and leaves it as it is."""
        if self._stage:
            self._fill()

    def _fill(self) -> None:
        self._bar.update(self._task, total=1, completed=1)
        self._bar.stop_task(self._task)


def _table(rows: list[Row], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_told(row, column) for column in columns))
    Console().print(table)
