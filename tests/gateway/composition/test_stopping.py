"""A gateway is asked to stop, or killed, while a publish is in its calibration: for real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.composition.environment import Grace
from gateway.composition.foundation import open_foundation
from gateway.settings import load_settings
from tests.e2e.house import PATIENCE, until
from tests.gateway.place import ENVIRONMENT, served_place
from tests.gateway.process.test_doors import free_ports
from tests.gateway.screening.classifiers import classifier
from tests.gateway.web.test_publishing import _body, _upload

TENANT = "slow"
SERVES = """
import sys
from pathlib import Path
from gateway.registry import packaging
packaging.CALIBRATION = "tests.gateway.composition.slow_calibration"
from dataclasses import replace
from gateway.composition.environment import Grace, system_environment
from gateway.composition.serve import serve
from gateway.settings import load_settings
serve(load_settings(Path(sys.argv[1])), replace(system_environment(), grace=Grace(1, 0.2)))
"""
HUNG_UP = """
import os, signal, sys
from pathlib import Path
from dataclasses import replace
from gateway.composition.environment import system_environment
from gateway.composition.serve import serve
from gateway.settings import load_settings
environment, left = system_environment(), list(range(3))

def clock():
    if left:
        left.pop()
        os.kill(os.getpid(), signal.SIGHUP)
    return environment.clock()

serve(load_settings(Path(sys.argv[1])), replace(environment, clock=clock))
os.kill(os.getpid(), signal.SIGHUP)
sys.exit(len(left) + 3)
"""


@contextmanager
def _serving(data: Path, script: str = SERVES) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"SEALGATE_OPERATIONS_PORT": str(free_ports(1)[0])}
    root = Path(__file__).parents[3]
    child = subprocess.Popen([sys.executable, "-c", script, data], cwd=root, env=environment)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _wait_until_up(url: str) -> None:
    def up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/v2/health/live", timeout=PATIENCE).is_success
        return False

    until(up)


def _in_calibration(owner: Connection) -> str:
    """Publish, and return the job once its calibration is under way."""
    owner.post("/v1/models", {"name": "m", "personal": False})
    model = classifier()
    body = _body("1", _upload(owner, model), model)
    job = owner.post("/v1/models/m/versions", body | {"calibration": _upload(owner, b"rows")})
    with owner.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        for line in events.iter_lines():
            if "calibration" in line:
                return str(job["id"])
    raise AssertionError("it ended before")


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_gateway_ends_although_a_calibration_does_not(
    tmp_path: Path, number: signal.Signals
) -> None:
    with served_place(tmp_path) as place:
        place.tenant(TENANT)
        profile = place.profile(TENANT, "owner")
    with _serving(tmp_path / "data") as child, Connection(load_profile(profile)) as owner:
        _wait_until_up(owner.profile.url)
        job = _in_calibration(owner)
        with owner.stream("GET", f"/v1/jobs/{job}/events"):  # somebody watches, too
            child.send_signal(number)
            child.wait(timeout=PATIENCE)
    with open_foundation(load_settings(tmp_path / "data"), ENVIRONMENT) as base:
        left = base.stores.pending.list_pending(after=(-1, ""), limit=9)
    assert len(left) == (number == signal.SIGKILL)
    with served_place(tmp_path) as place, place.client(TENANT, "owner") as owner:
        assert place.foundation.stores.pending.list_pending(after=(-1, ""), limit=9) == []
        shown = owner.get("/v1/models/m/versions/1")
        assert (shown["state"], shown["reason"]) == ("rejected", "interrupted")


def test_what_is_given_time_when_it_stops_adds_up_to_less_than_ten_seconds() -> None:
    grace = Grace()
    assert grace.requests + grace.jobs + grace.batches < 10


@pytest.mark.e2e
def test_a_hang_up_ends_nothing_before_the_doors_open_and_after_they_closed(tmp_path: Path) -> None:
    """It ended the process while keys were opened, or what was left unsettled."""
    with served_place(tmp_path) as place:
        url = place.url
    with _serving(tmp_path / "data", HUNG_UP) as child:
        _wait_until_up(url)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=PATIENCE) == 3, "it came to its own end"
