"""Tells the tour as it goes: a ✓ or ✗ for each promise, bars on a terminal, lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn


class BrokenPromise(Exception):
    """A check of the tour did not hold; the text says what was seen instead."""


def hold(condition: object, otherwise: str) -> None:
    """Go on when `condition` holds.

    Raises:
        BrokenPromise: With `otherwise`, when it does not.
    """
    if not condition:
        raise BrokenPromise(otherwise)


@dataclass(slots=True)
class Evidence:
    """What a check found, shown beside its mark."""

    text: str = ""


class Stages:
    """Steps of one long piece of work, of a known number."""

    def __init__(self, console: Console, total: int, progress: Progress | None) -> None:
        self._console = console
        self._total = total
        self._progress = progress
        self._task = progress.add_task("", total=total) if progress else None
        self._done = 0

    def advance(self, text: str) -> None:
        """Tell that a step is done."""
        self._done += 1
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1, description=text)
        else:
            self._console.print(f"    {self._done}/{self._total} {text}", highlight=False)


Told: TypeAlias = Callable[[str, bool, str], None]
"""(promise, whether it was kept, what was seen) → nothing: for programs."""


class Narrator:
    """Prints the tour and counts.

    Args:
        console: Where to print.
        told: Hears of each promise, too.

    Attributes:
        kept, broken: Checks that held, and that did not.
    """

    def __init__(self, console: Console, told: Told | None = None) -> None:
        self.console = console
        self._told = told
        self.kept = 0
        self.broken = 0

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n[bold]{title}[/bold]", highlight=False)

    def say(self, text: str) -> None:
        """Print a line of explanation."""
        self.console.print(f"  [dim]{text}[/dim]", highlight=False)

    @contextmanager
    def check(self, promise: str) -> Iterator[Evidence]:
        """Check one promise: ✓ when the block ends, ✗ with the reason when it does not."""
        evidence = Evidence()
        try:
            yield evidence
        except Exception as fault:
            reason = str(fault) if isinstance(fault, BrokenPromise) else type(fault).__name__
            self.broke(promise, reason)
            return
        self.kept += 1
        detail = f" [dim]{evidence.text}[/dim]" if evidence.text else ""
        self.console.print(f"  [green]✓[/green] {promise}{detail}", highlight=False)
        if self._told is not None:
            self._told(promise, True, evidence.text)

    def broke(self, promise: str, reason: str) -> None:
        """Tell that a promise was not kept."""
        self.broken += 1
        self.console.print(f"  [red]✗[/red] {promise}: {reason}", highlight=False)
        if self._told is not None:
            self._told(promise, False, reason)

    @contextmanager
    def stages(self, total: int, text: str) -> Iterator[Stages]:
        """Show work of `total` steps."""
        if not self.console.is_terminal:
            self.console.print(f"    {text}", highlight=False)
            yield Stages(self.console, total, None)
            return
        columns = (
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            stages = Stages(self.console, total, progress)
            yield stages
