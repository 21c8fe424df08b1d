"""The dashboards as they are shipped, and what their expressions ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parents[2] / "deploy/monitoring/grafana"
ROLES: Final = ("federation", "model-owner", "officer", "operator")
VARIABLES: Final = {"$__rate_interval": "1m", "$__range": "10m"}
_SELECTOR = re.compile(r"\b((?:sealgate|process)_\w+)(?:\{([^}]*)\})?")
_BY = re.compile(r"\bby \(([^)]*)\)")


class Asked(NamedTuple):
    """A metric that an expression selects, and the labels that it selects by."""

    name: str
    labels: frozenset[str]


def dashboard(role: str) -> dict[str, Any]:
    found = json.loads((FOLDER / "dashboards" / f"{role}.json").read_text())
    assert isinstance(found, dict)
    return found


def panels(role: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(role)["panels"] if panel["type"] != "row"]


def expressions(role: str) -> Iterator[str]:
    """Yield every expression, with values in the place of Grafana's variables."""
    for panel in panels(role):
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            for variable in dashboard(role)["templating"]["list"]:
                expression = expression.replace(f"${variable['name']}", ".*")
            assert "$" not in expression, expression
            yield expression


def queries(role: str) -> Iterator[str]:
    """Yield what the variables of a dashboard are filled from."""
    for variable in dashboard(role)["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


def asked(expression: str) -> Iterator[Asked]:
    """Yield the metrics of an expression, each with its labels and those it is summed up by."""
    by = {word.strip() for words in _BY.findall(expression) for word in words.split(",")}
    for name, matchers in _SELECTOR.findall(expression):
        selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        yield Asked(name, frozenset(selected | by))
