"""Each fault that newcomers met is held by tests that are there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.first_contact_faults import HELD

FOLDER = Path(__file__).parent


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((FOLDER / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def held(table: str) -> Iterator[tuple[str, str]]:
    """File and name of each test of a fault."""
    path = ""
    for line in table.split():
        if line.endswith(".py"):
            path = line
        else:
            yield path, f"test_{line}"


@pytest.mark.parametrize("fault", HELD)
def test_a_fault_that_was_met_is_held_by_tests_that_exist(fault: str) -> None:
    tests = list(held(HELD[fault]))
    assert tests
    assert [each for each in tests if each[1] not in names_in(each[0])] == []


def test_one_that_is_taken_away_would_be_missed() -> None:
    ((path, name),) = held("test_first_contact_faults.py\n    this_was_never_there")
    assert name not in names_in(path)
