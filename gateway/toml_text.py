"""TOML as people write it: what is wrong is told with its place and what helps. Pure.

Safety argument.
1. A value may be what nobody else should read. A line is repeated where its syntax is wrong only,
   cut short, without what follows the name of a secret or stands before the `@` of an address.
2. Whatever the text is, the answer is a table or `TomlFault`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

MAX_SHOWN: Final = 80
"""Characters of a line that are repeated."""
_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HIDING: Final = re.compile(r"(?i)secret|passw|token|credential|private|database_url")
_USER: Final = re.compile(r"://[^/\s\"']*@")
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*="""
)
_PART: Final = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*(?:\.|$)""")

Path = tuple[str | int, ...]
"""Keys and positions that lead to a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class TomlFault(ValueError):
    """A text is no TOML.

    Attributes:
        what: Lowercase, no full stop; with place and line.
        advice: What helps.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice


def parse_toml(data: bytes) -> tuple[dict[str, Any], str]:
    """Return the table that a text holds, and the text.

    Raises:
        TomlFault: It holds none.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        column = fault.start - (data.rfind(b"\n", 0, fault.start) + 1) + 1
        what = f"it is not UTF-8 ({Place(line, column)})"
        raise TomlFault(what, "save it as UTF-8") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as fault:
        raise _told(str(fault), text) from None
    except RecursionError:
        raise TomlFault("it is not TOML: it is nested too deeply", "write it flatter") from None


def place_of(text: str, path: Path) -> Place | None:
    """Return where the key of a value stands in a text that is TOML; None where it is not seen.

    What is inside an inline table stands where that begins.
    """
    best: tuple[int, Place] | None = None
    for found, place in _keys(text):
        if path[: len(found)] == found and (best is None or len(found) > best[0]):
            best = len(found), place
    return None if best is None else best[1]


def meant(word: str, known: Iterable[str]) -> str:
    """Return a question for the nearest known word, or nothing."""
    near = get_close_matches(word, sorted(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""


def _told(said: str, text: str) -> TomlFault:
    match = _AT.search(said)
    what = said[: match.start()] if match else said
    lines = text.splitlines() or [""]
    if match is not None and match[1]:
        place = Place(int(match[1]), int(match[2]))
    else:
        place = Place(len(lines), len(lines[-1]) + 1)
    shown = _shown(lines[min(place.line, len(lines)) - 1])
    what = f"it is not TOML at {place} (`{shown}`): {what[:1].lower()}{what[1:]}"
    return TomlFault(what, _advice(what, shown))


def _shown(line: str) -> str:
    """Return what may be repeated of a line (claim 1)."""
    name, equals, _ = line.partition("=")
    if _HIDING.search(name):
        line = f"{name}{equals} …" if equals else "…"
    line = _USER.sub("://…@", line).strip()
    line = "".join(one if one.isprintable() else " " for one in line)
    return line if len(line) <= MAX_SHOWN else line[:MAX_SHOWN] + "…"


def _advice(what: str, line: str) -> str:
    name, equals, value = (part.strip() for part in line.partition("="))
    if "overwrite" in what or "twice" in what or "redefine" in what.lower():
        return "give it once"
    if "after a key" in what or (name and not equals):
        return "write `name = value`, one a line"
    if "invalid value" in what and value and value[0] not in "\"'[{":
        return "write texts in quotes, flags as true or false"
    return "see https://toml.io, or compare with the line before"


def _keys(text: str) -> Iterator[tuple[Path, Place]]:
    """Yield each key at the beginning of a line and each header, with its place."""
    table: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        column = len(line) - len(line.lstrip()) + 1
        if header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, Place(number, column)
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), Place(number, column)


def _parts(key: str) -> Path:
    return tuple(one[0] or one[1] or one[2] for one in _PART.findall(key))
