"""Names in rules and documents are those of the metrics that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from gateway.process.resources import Resources, watch
from gateway.telemetry import Metrics
from tests.tools import require_tool

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy/monitoring"
PAGE = ROOT / "docs/reference/metrics.md"
SUFFIXES = {"counter": "_total", "info": "_info"}


def metrics() -> list[Metric]:
    registry = Metrics().registry
    watch(registry, Resources("1", {"data": ROOT}, {}))
    return list(registry.collect())


def names(prefix: str) -> set[str]:
    return {
        metric.name + SUFFIXES.get(metric.type, "")
        for metric in metrics()
        if metric.name.startswith(prefix)
    }


def test_each_metric_is_explained_and_nothing_else_is() -> None:
    explained = re.findall(r"^\| `(sealgate_\w+)` \|", PAGE.read_text(), re.M)
    assert sorted(explained) == sorted(names("sealgate_"))


def test_rules_ask_for_metrics_that_there_are() -> None:
    text = (MONITORING / "rules.yaml").read_text()
    asked = set(re.findall(r"\b((?:sealgate|process)_[a-z_]+)", text))
    assert asked
    assert asked <= names("")


@pytest.mark.e2e
def test_rules_fire_when_they_should() -> None:
    promtool = require_tool("promtool")
    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "rules.test.yaml"]):
        run = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
