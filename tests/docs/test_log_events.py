"""The page of the log's events names each that the code can tell, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.tables import ROOT

PAGE = "docs/reference/log-events.md"
ROOMS = ("audit", "federated", "gateway", "policies")
LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
LOGGERS = re.compile(r"structlog\.get_logger\(\)|(self\._)?log")
FAULTS = "self._faults"
"""Tells of each fault once: `audit.fault_log`."""


def test_every_event_of_the_log_is_explained() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / PAGE).read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(named) == len(set(named)), "each once"
    assert set(named) == told()


def told() -> set[str]:
    """The names that the code tells."""
    found: set[str] = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call):
                    found.update(_names(call))
    return found


def _names(call: ast.Call) -> Iterator[str]:
    """Yield the events that a call may tell."""
    if isinstance(call.func, ast.Name):
        tells = call.func.id == "_warn"
    elif isinstance(call.func, ast.Attribute):
        logger = ast.unparse(call.func.value)
        tells = call.func.attr in LEVELS and LOGGERS.fullmatch(logger) is not None
        tells = tells or (logger == FAULTS and call.func.attr in {"begin", "end"})
    else:
        return
    if tells:
        texts = (*call.args[:1], *(one.value for one in call.keywords if one.arg == "recovered"))
        for node in (part for text in texts for part in ast.walk(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
