"""Each requirement in pyproject.toml has its line in docs/dependencies.md, and no line is stale."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 5


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def required() -> dict[str, set[str]]:
    """The names under each heading of the page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = dict(project["optional-dependencies"])
    tools = extras.pop("test") + extras.pop("dev")
    optional = {name_of(one) for group in extras.values() for one in group}
    return {
        "At run time": {name_of(one) for one in project["dependencies"]},
        "Extras": optional,
        # What an extra brings as well is explained there.
        "For tests and development": {name_of(one) for one in tools} - optional - {"sealgate"},
    }


def explained() -> dict[str, list[list[str]]]:
    """The rows under each heading, as cells."""
    text = (ROOT / "docs/dependencies.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {
        section.splitlines()[0]: [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in section.splitlines()
            if line.startswith("| `")
        ]
        for section in sections
    }


def test_each_dependency_has_its_line_and_no_line_is_stale() -> None:
    rows = explained()
    assert {
        section: sorted(row[0].strip("`") for row in rows.get(section, []))
        for section in required()
    } == {section: sorted(names) for section, names in required().items()}


def test_each_line_fills_every_column() -> None:
    assert not [
        row for rows in explained().values() for row in rows if len(row) != COLUMNS or not all(row)
    ]
