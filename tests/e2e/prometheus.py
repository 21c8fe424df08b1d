"""A real Prometheus that scrapes a gateway and works out expressions."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.e2e.house import PATIENCE, until
from tests.ports import free_port


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression comes to; fails on one that is none."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression})
        body = answer.json()
        assert body["status"] == "success", (expression, body)
        assert not body.get("warnings"), (expression, body)
        found = body["data"]["result"]
        assert isinstance(found, list)
        return found

    def alerts(self) -> dict[str, str]:
        """Return the health of each rule by its name."""
        groups = httpx.get(f"{self.url}/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


@contextmanager
def scraping(program: str, folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """Run one that scrapes `target` twice a second, until the block ends."""
    folder.mkdir()
    every = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    job = {"job_name": "sealgate", "static_configs": [{"targets": [urlsplit(target).netloc]}]}
    configuration = {"global": every, "rule_files": [str(rules)], "scrape_configs": [job]}
    (folder / "prometheus.yaml").write_text(json.dumps(configuration))  # JSON is YAML, too
    address = f"127.0.0.1:{free_port()}"
    arguments = {
        "config.file": folder / "prometheus.yaml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
        "log.level": "warn",
    }
    command = [program, *(f"--{name}={value}" for name, value in arguments.items())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        made = Prometheus(f"http://{address}")

        def scraped() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(httpx.TransportError, json.JSONDecodeError):
                series = made.query("count_over_time(sealgate_audit_ready[1m]) > 3")
                return bool(series)
            return False

        until(scraped)
        yield made
    finally:
        process.terminate()
        process.wait(PATIENCE)
