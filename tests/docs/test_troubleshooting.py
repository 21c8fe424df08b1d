"""What the page quotes is what the code says, and what it advises exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Final

import pytest

from tests.docs.tables import ROOT
from tests.gateway.cli.test_main import commands

PAGE: Final = (ROOT / "docs/troubleshooting.md").read_text()
QUOTED: Final = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
PACKAGES: Final = ("gateway", "audit", "policies", "federated")


@cache
def texts() -> tuple[str, ...]:
    """Each text of the code, `…` where a value is put in."""
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    found.append("".join(_part(part) for part in node.values))
    return tuple(found)


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def said(quoted: str) -> bool:
    """Tell whether the code says a text whose `…` may be anything."""
    pattern = re.compile(".*".join(re.escape(part.strip()) for part in quoted.split("…")))
    return any(pattern.search(text) for text in texts())


def test_there_are_symptoms() -> None:
    assert len(QUOTED) > 25
    assert len(QUOTED) == PAGE.count("\n### ")


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_symptom_is_what_the_code_says(quoted: str) -> None:
    assert said(quoted)


def test_a_symptom_that_nobody_sees_would_be_found() -> None:
    assert said("port … is taken…")
    assert not said("port … is taken by nobody")


def test_every_command_that_is_advised_exists() -> None:
    there = {" ".join(words) for words in commands()}
    advised = re.findall(r"`sealgate ([a-z]+(?: [a-z-]+)*)", PAGE)
    assert advised
    for words in advised:
        assert any(words == name or words.startswith(f"{name} ") for name in there), words


def test_every_symptom_has_something_to_do() -> None:
    entries = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert [entry.splitlines()[0] for entry in entries if "**Do:**" not in entry] == []
