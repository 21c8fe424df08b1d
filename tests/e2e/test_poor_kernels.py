"""A gateway on a kernel that gives it less: it serves and says so, or says what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, told
from tests.tools import NOT_ALLOWED, require_tool

PATIENCE: Final = 60
WITHOUT: Final = (sys.executable, "-P", str(Path(__file__).with_name("without_calls.py")))
NO_NAMESPACES: Final = (*WITHOUT, "unshare", "--")
NO_WALLS: Final = (*WITHOUT, "unshare", "seccomp", "--")
HIDE: Final = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
NO_PRIVILEGES: Final = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")


def serves(house: House) -> bool:
    """Whether models can be pushed, released and called."""
    house.push(house.owned["digits"], "2.0")
    house.sealgate("model", "promote", "digits", "2.0")
    return bool(house.infer().status_code == 200)


def test_without_namespaces_it_serves_and_tells_its_operator(fresh: MakeHouse) -> None:
    house = fresh(started=False)
    house.launch(NO_NAMESPACES)
    house.await_ready()
    assert serves(house)
    warned = [line for line in told(house) if line["event"] == "network_namespace_missing"]
    assert [line["level"] for line in warned] == ["warning"]
    assert "user.max_user_namespaces" in warned[0]["remedy"]


def test_where_models_cannot_be_confined_it_refuses_to_start(fresh: MakeHouse) -> None:
    house = fresh(started=False)
    house.launch(NO_WALLS)
    assert house.running is not None
    assert house.running.wait(PATIENCE) == 1
    said = house.log_path.read_text()
    assert "models cannot be confined on this machine" in said
    assert "seccomp" in said
    assert "Traceback" not in said


def test_without_privileges_and_with_processes_hidden_it_serves(fresh: MakeHouse) -> None:
    hidden = (require_tool("unshare"), "--mount", "sh", "-c", HIDE, "sh", *NO_PRIVILEGES)
    require_tool("setpriv")
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{NOT_ALLOWED}another view of /proc can only be mounted by root")
    house = fresh(started=False)
    house.launch(hidden)
    house.await_ready()
    assert serves(house)
    metrics = house.cast.http.get(f"{house.place.operations_url}/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[:1] != "#")
    assert float(lines["sealgate_engine_resident_bytes"]) > 0, "a guess, but not nothing"
