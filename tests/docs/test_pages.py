"""The pages as texts: short, joined by links that lead somewhere, all on the map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.tables import ROOT

MOST_WORDS = 700
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MINE = [
    path for path in PAGES if path.parent.name in {"docs", "tutorials", "operations", "reference"}
]


def prose(path: Path) -> str:
    text = re.sub(r"(?ms)^```.*?^```$", "", path.read_text())
    return re.sub(r"<!--.*?-->", "", text)


def links(path: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    return [link for link in found if not link.startswith(("https://", "mailto:"))]


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"(?m)^#+ (.+)$", prose(path))
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if path.parent.name in {"tutorials", "operations"}],
    ids=lambda p: p.stem,
)
def test_a_tutorial_is_short_and_says_what_it_starts_from(path: Path) -> None:
    assert len(prose(path).split()) <= MOST_WORDS
    assert path.read_text().startswith("<!-- presupposes: ")


def test_every_page_is_on_the_map() -> None:
    chart = ROOT / "docs/README.md"
    told = {(chart.parent / link).resolve() for link in links(chart)}
    assert {path for path in MINE if path != chart} <= told
    assert ROOT / "docs/decisions" in told
