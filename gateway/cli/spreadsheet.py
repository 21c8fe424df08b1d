"""Cells that are safe to open in a spreadsheet (OWASP, CSV injection). Pure.

Safety argument.
1. A spreadsheet computes a cell that begins with `=`, `+`, `-` or `@` (or their full-width forms),
   also after a tab or a line's end, and so runs what whoever wrote the text wants. Such a text gets
   an apostrophe in front, which spreadsheets take for "this is text".
2. Where `;` parts cells, as in many countries, a part of a text is a cell of its own: what follows
   a `;`, a tab or a line's end within a text is looked at like a beginning.
3. Every text stands in quotes, and quotes within are doubled (RFC 4180): none ends its cell.
4. A number stays a number, also one that was written as text: `-1.5` computes nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

_COMPUTED: Final = re.compile(r"(\A|[;\t\r\n])(?= *[=+\-@\uff1d\uff0b\uff0d\uff20])")
_BREAKS: Final = ("\t", "\r", "\n")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


def harmless(text: str) -> str:
    """Return a text that no spreadsheet computes (claims 1, 2 and 4)."""
    if _NUMBER.match(text) or text == "-":
        return text
    marked = _COMPUTED.sub(r"\1'", text)
    return f"'{marked}" if marked.startswith(_BREAKS) else marked


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV.

    Args:
        header: Names of the columns.
        rows: Cells: numbers as they are, everything else as text.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([harmless(name) for name in header])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return harmless(str(value))
