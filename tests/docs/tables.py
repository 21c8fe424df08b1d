"""Tables of the reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
REFERENCE: Final = ROOT / "docs/reference"


def rows(name: str, heading: str = "") -> list[list[str]]:
    """Return the cells of every table of a page, or of one section of it, without code marks."""
    text = (REFERENCE / name).read_text()
    if heading:
        _, _, text = text.partition(f"\n## {heading}\n")
        text = text.partition("\n## ")[0]
    found = []
    for head, body in re.findall(r"^(\|.+\|)\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE):
        width = head.count("|")
        for line in body.splitlines():
            assert line.count("|") == width, f"{name}: {line}"
            found.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    assert found, f"{name} has no table under {heading!r}"
    return found
