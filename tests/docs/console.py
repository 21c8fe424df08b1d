"""Documents as scripts: what their blocks say is to be written, run, seen and stopped.

A comment right before a block, or alone where it says `stops`, tells what a reader knows:

    <!-- file: NAME -->        the block is a file that the reader saves under that name
    <!-- not run: REASON -->   the block is shown and not run
    <!-- exits N -->           the command ends with this code, not with 0
    <!-- stops: COMMAND -->    Ctrl-C in the terminal of the command that begins so

In a `console` block a line that begins with `$ ` is a command; it goes on after a backslash and in
a here-document. Other lines are what one sees: `…` stands for anything, spaces count once.
Commands that go on until they are stopped have terminals of their own; what they show is what one
waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

_FENCE: Final = re.compile(
    r"""
    (?:^<!--[ ](?P<note>[^\n]*?)[ ]-->\n)?
    ^```(?P<kind>\w*)\n(?P<text>.*?)^```$
    | ^<!--[ ]stops:[ ](?P<stops>[^\n]+?)[ ]-->$
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_PROMPT: Final = "$ "
_GOES_ON: Final = re.compile(r"sealgate (serve|site run|audit tail --follow)\b")


class Unclear(Exception):
    """A document says something that the runner does not know."""


@dataclass(frozen=True)
class Write:
    """A file that the reader saves."""

    name: str
    text: str


@dataclass
class Run:
    """A command, and the lines that it shows."""

    command: str
    shows: list[str] = field(default_factory=list)
    code: int = 0
    stays: bool = False


@dataclass(frozen=True)
class Stop:
    """Ctrl-C for a command that stays up."""

    command: str


@dataclass(frozen=True)
class Skipped:
    """A block that is not run."""

    reason: str


Step: TypeAlias = Write | Run | Stop | Skipped


def steps(document: str) -> Iterator[Step]:
    """Read a document.

    Raises:
        Unclear: A comment or a block is none that the module's text describes.
    """
    for match in _FENCE.finditer(document):
        if match["stops"]:
            yield Stop(match["stops"])
            continue
        note, kind, text = match["note"] or "", match["kind"], match["text"]
        word, _, rest = note.partition(": ")
        if word == "not run":
            yield Skipped(rest)
        elif word == "file":
            yield Write(rest, text)
        elif kind == "console":
            yield from _commands(text, note)
        elif kind in {"sh", "bash", "shell"}:
            raise Unclear("commands stand in `console` blocks")


def _commands(text: str, note: str) -> list[Run]:
    found: list[Run] = []
    open_ended = False
    for line in text.splitlines():
        if open_ended:
            found[-1].command += "\n" + line
        elif line.startswith(_PROMPT):
            found.append(Run(line.removeprefix(_PROMPT)))
        elif found:
            found[-1].shows.append(line)
        else:
            raise Unclear("a console block begins with a command")
        open_ended = not found[-1].shows and _goes_on(found[-1].command)
    if note.startswith("exits "):
        if len(found) != 1:
            raise Unclear("a block that exits with a code has one command")
        found[0].code = int(note.removeprefix("exits "))
    elif note:
        raise Unclear(f"`{note}` is no note of this runner")
    for run in found:
        run.stays = run.code == 0 and _GOES_ON.match(run.command) is not None
    return found


def _goes_on(command: str) -> bool:
    """Whether the next line belongs to the command: after a backslash, or in a here-document."""
    here = re.search(r"<< '(\w+)'", command)
    unfinished = here is not None and command.rpartition("\n")[2] != here[1]
    return command.endswith("\\") or unfinished


def unseen(shows: list[str], output: str) -> list[str]:
    """Return the lines that a document shows and the output lacks, in their order."""
    lines = iter([_squeezed(line) for line in output.splitlines()])
    missing = []
    for shown in shows:
        if shown.strip() in {"", "…"}:
            continue
        parts = [re.escape(part) for part in _squeezed(shown).split("…")]
        pattern = re.compile(".*".join(parts))
        if not any(pattern.fullmatch(line) for line in lines):
            missing.append(shown)
            break
    return missing


def _squeezed(line: str) -> str:
    return " ".join(line.split())
