"""Names in rules and documents are those of the metrics that there are."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.metrics_core import Metric

from gateway.batch.records import BatchState
from gateway.federation.watching import Watching
from gateway.log_sink import LogSink
from gateway.process.issuer_metrics import IssuerMetrics
from gateway.process.resources import Resources, watch
from gateway.process.work_metrics import Stored, WorkMetrics
from gateway.request_lines import RequestLines
from gateway.storage.stores import memory_stores
from gateway.telemetry import Metrics
from gateway.work.jobs import Jobs
from tests.gateway.identity.fakes import World
from tests.tools import require_tool

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy/monitoring"
PAGE = ROOT / "docs/reference/metrics.md"
SUFFIXES = {"counter": "_total", "info": "_info"}


def metrics() -> list[Metric]:
    registry = Metrics().registry
    watch(registry, Resources("1", {"data": ROOT}, {}))
    registry.register(work_metrics())
    world = World()
    registry.register(IssuerMetrics(world.issuers, world.authenticator.foreign))
    return list(registry.collect())


def work_metrics() -> WorkMetrics:
    def clock() -> float:
        return 0.0

    stores = memory_stores()
    lines = RequestLines(lambda _: None, clock=clock, monotonic=clock)
    jobs = Jobs(ThreadPoolExecutor(1), lambda: "id")
    stored = Stored(stores.batches, stores.federations, clock, clock)
    return WorkMetrics(jobs, dict, stored, Watching(clock), LogSink(), lines)


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


def test_alerts_on_batches_know_the_states_in_which_one_ends() -> None:
    text = (MONITORING / "rules.yaml").read_text()
    (well,) = re.findall(r'sealgate_jobs_ended_total\{outcome!~"([a-z|]+)"', text)
    assert set(well.split("|")) - {"done"} == set(get_args(BatchState)) - {
        *("queued", "running", "failed", "stopped"),
    }


@pytest.mark.e2e
def test_the_examples_are_what_their_programs_take() -> None:
    promtool = require_tool("promtool")
    check = [promtool, "check", "config", "prometheus.yaml"]
    run = subprocess.run(check, cwd=MONITORING, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    check = [require_tool("amtool"), "check-config", "alertmanager.yaml"]
    run = subprocess.run(check, cwd=MONITORING, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_severity_has_somebody_who_hears_it() -> None:
    rules = (MONITORING / "rules.yaml").read_text()
    routes = (MONITORING / "alertmanager.yaml").read_text()
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert set(re.findall(r"severity: (\w+)", rules)) == {"page", "ticket"}
    named = set(re.findall(r"Sealgate\w+", re.sub(r"Sealgate\.\+", "", routes)))
    assert named <= alerts
    assert set(re.findall(r"receiver: (\w+)", routes)) == set(re.findall(r"- name: (\w+)", routes))


def test_each_alert_is_tested_or_as_simple_as_can_be() -> None:
    rules = (MONITORING / "rules.yaml").read_text()
    tests = (MONITORING / "rules.test.yaml").read_text()
    alerts = re.findall(r"- alert: (\w+)\n +expr: (.+)", rules)
    assert len(alerts) == rules.count("- alert:")
    untested = {name for name, _ in alerts if f"alertname: {name}" not in tests}
    assert untested == {
        *("SealgateRecordsRefused", "SealgateModelsUnavailable", "SealgateRequestsFail"),
        *("SealgateModelRests", "SealgateEnginesBusy", "SealgateDescriptorsRunOut"),
    }


@pytest.mark.e2e
def test_rules_fire_when_they_should() -> None:
    promtool = require_tool("promtool")
    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "rules.test.yaml"]):
        run = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
