"""Dashboards are what Grafana reads, and ask for nothing that there is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.dashboards import (
    FOLDER,
    ROLES,
    asked,
    dashboard,
    expressions,
    panels,
    queries,
)
from tests.deploy.test_monitoring import PAGE

DOCUMENT = Path(__file__).parents[2] / "docs/watching.md"
KINDS = {"stat", "table", "timeseries"}
WIDTH = 24
OF_PROMETHEUS = {"instance", "job"}


def documented() -> dict[str, set[str]]:
    """Labels by metric, from the page that a test compares with the metrics that there are."""
    rows = re.findall(r"^\| `(sealgate_\w+)` \| (\w+) \|([^|]*)\|", PAGE.read_text(), re.M)
    found = {name: {each.strip() for each in labels.split(",")} - {""} for name, _, labels in rows}
    for name, kind, _labels in rows:
        if kind == "histogram":
            found[f"{name}_bucket"] = found[name] | {"le"}
    return found


def test_there_is_one_for_each_role() -> None:
    found = sorted(path.stem for path in (FOLDER / "dashboards").glob("*.json"))
    assert found == list(ROLES)
    uids = {dashboard(role)["uid"] for role in ROLES}
    assert uids == {f"sealgate-{role}" for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_a_dashboard_has_the_shape_that_grafana_reads(role: str) -> None:
    board = dashboard(role)
    assert board["title"].startswith("sealgate: ")
    assert board["schemaVersion"] >= 36
    assert board["panels"][0]["type"] == "row"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(role):
        assert panel["type"] in KINDS
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)


@pytest.mark.parametrize("role", ROLES)
def test_panels_do_not_lie_on_each_other(role: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(role)["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("role", ROLES)
def test_expressions_ask_for_metrics_and_labels_that_there_are(role: str) -> None:
    known = documented()
    for expression in (*expressions(role), *queries(role)):
        found = list(asked(expression))
        assert found, expression
        for metric in found:
            if metric.name.startswith("sealgate_"):
                assert metric.labels <= known[metric.name] | OF_PROMETHEUS, expression


@pytest.mark.parametrize("role", ROLES)
def test_legends_name_labels_that_are_left(role: str) -> None:
    for panel in panels(role):
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            labels = {label for metric in asked(target["expr"]) for label in metric.labels}
            by_itself = "sealgate_build_info" in target["expr"]
            assert by_itself or shown <= labels - {"le"}, target


def test_the_page_says_which_question_each_dashboard_answers() -> None:
    text = DOCUMENT.read_text()
    for role in ROLES:
        assert f"dashboards/{role}.json" in text
        for panel in dashboard(role)["panels"]:
            if panel["type"] == "row":
                assert panel["title"] in text, (role, panel["title"])
