"""The pages that describe the house describe this one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.docs.tables import ROOT

PAGES = (
    "docs/architecture.md",
    "CONTRIBUTING.md",
    "docs/threat-model.md",
    "docs/decisions/0006-rooms.md",
    "docs/decisions/0007-intents.md",
)
PACKAGES = ("gateway/", "federated/", "audit/", "policies/", "tests/", "docs/", "deploy/", ".ci/")
"""What a path in running text begins with; inside the gateway `gateway/` may be left out."""
MOST_LINES = 400
PYTHON = ("gateway", "federated", "audit", "policies")
DOTTED = rf"`((?:{'|'.join(PYTHON)})(?:\.\w+)+)`"


def drawn() -> list[set[str]]:
    """The lines of the drawing, each the names before its first wide gap."""
    section = (ROOT / "docs/architecture.md").read_text().partition("\n## The layers\n")[2]
    drawing = section.partition("\n```\n")[2].partition("\n```\n")[0]
    return [set(line.split("  ")[0].split(" | ")) for line in drawing.splitlines()]


def held() -> list[set[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [one for one in contracts if one["type"] == "layers"]
    assert layers["exhaustive"], "a new module without a place is refused"
    return [set(line.split(" | ")) for line in layers["layers"]]


def paths(page: str) -> Iterator[str]:
    """What a page calls a file or folder of ours."""
    text = (ROOT / page).read_text()
    yield from re.findall(r"[\w./]*\w/\w[\w/]*\.py\b", text)
    for quoted in re.findall(r"`([^`\s]+)`", text):
        if quoted.startswith(PACKAGES) or re.fullmatch(r"\w+/(\w+/)*", quoted):
            yield quoted


def test_the_drawing_of_the_layers_is_what_the_linter_holds() -> None:
    assert drawn() == held()


def test_every_layer_is_there() -> None:
    for name in set().union(*held()):
        place = ROOT / "gateway" / name
        assert place.is_dir() or place.with_suffix(".py").is_file(), name


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    named = set(paths(page))
    assert named, page
    missing = [
        path
        for path in named
        if not (ROOT / path).exists() and not (ROOT / "gateway" / path).exists()
    ]
    assert missing == []


def test_the_tests_that_the_threat_model_names_are_there() -> None:
    text = (ROOT / "docs/threat-model.md").read_text()
    told = re.findall(r"\*Tests:\*(.*?)(?:\*Left:\*|\n\n)", text, re.DOTALL)
    named = {name for part in told for name in re.findall(r"`([^`]+)`", part)}
    assert named
    assert [name for name in named if not (ROOT / "tests" / name).is_dir()] == []


def test_every_module_that_a_text_names_is_there() -> None:
    """In docstrings, comments and pages: `gateway.x.y`, and what stands in it."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for package in PYTHON:
        pages += (ROOT / package).rglob("*.py")
    missing = {
        f"{page.relative_to(ROOT)}: {name}"
        for page in pages
        for name in re.findall(DOTTED, page.read_text())
        if not stands(name.split("."))
    }
    assert missing == {"audit/verify_folder.py: audit.db"}, "a file's name"


def stands(parts: list[str]) -> bool:
    """Tell whether there is such a module, and in it each name that follows."""
    for length in range(len(parts), 1, -1):
        place = ROOT.joinpath(*parts[:length])
        if place.is_dir():
            return length == len(parts)
        if (file := place.with_suffix(".py")).is_file():
            text = file.read_text()
            return all(re.search(rf"\b{name}\b", text) for name in parts[length:])
    return False


def test_no_file_has_grown_too_long() -> None:
    """A file of more lines holds more than one idea; the verifier goes to another machine alone."""
    files = [file for part in (*PYTHON, "tests") for file in (ROOT / part).rglob("*.py")]
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    del lines["audit/verify.py"]
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
