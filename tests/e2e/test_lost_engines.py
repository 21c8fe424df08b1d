"""Engines, and the process that forks them, lost under load: what it costs, and what is left."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, problem, told, until
from tests.e2e.load import Load, hold_to_log, whole_log

FORKS = b"gateway.engine.fork_server"


def of_gateway(gateway: int) -> list[int]:
    """The fork servers and engines of a gateway, also after its end."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if FORKS in b" ".join(arguments) and str(gateway).encode() in arguments:
                found.append(int(process.name))
    return found


def nothing_is_left(gateway: int) -> bool:
    return not of_gateway(gateway)


def fork_server(house: House) -> int:
    """The process that forks engines: the one that is a child of the gateway."""
    return next(pid for pid in of_gateway(house.pid) if parent(pid) == house.pid)


def engines(house: House) -> list[int]:
    return [pid for pid in of_gateway(house.pid) if parent(pid) not in (house.pid, 0)]


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.parametrize("times", [2, pytest.param(15, marks=pytest.mark.soak)])
def test_a_gateway_that_is_killed_under_load_leaves_no_engine(fresh: MakeHouse, times: int) -> None:
    house = fresh(started=False)
    for number in range(times):
        house.start()
        gateway = house.pid
        with Load(house) as load:
            load.wait_for(20 + 3 * number)
            assert len(of_gateway(gateway)) > 2
            house.kill()
        until(partial(nothing_is_left, gateway))
    house.start()
    assert house.infer().status_code == 200


@pytest.mark.parametrize("times", [3, pytest.param(15, marks=pytest.mark.soak)])
def test_a_fork_server_that_is_killed_costs_the_runs_of_the_moment(
    fresh: MakeHouse, times: int
) -> None:
    house = fresh()
    with Load(house) as load:
        for _ in range(times):
            load.wait_for(40)
            os.kill(fork_server(house), signal.SIGKILL)
            moment = time.monotonic()
            until(partial(answered, load, moment))
    lost = {a.code for a in load.answers if a.status >= 500}
    assert lost <= {"engine-failed", "engines-down"}
    hold_to_log(load.answers, whole_log(house))
    models = httpx.get(f"{house.place.operations_url}/health/models")
    assert models.status_code == 200, models.text


def answered(load: Load, moment: float) -> bool:
    """Whether both models answered a request that was begun after a moment."""
    found = {a.model for a in load.begun_after(moment) if a.status == 200}
    return {"digits", "biopsy"} <= found


def test_engines_that_are_stopped_hold_up_nobody_but_their_callers(fresh: MakeHouse) -> None:
    house = fresh(run_timeout_seconds=1.0)
    assert house.infer().status_code == 200
    before = set(engines(house))
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    with Load(house) as load:
        moment = time.monotonic()
        until(lambda: answered(load, moment))
    assert {a.code for a in load.answers if a.status >= 500} <= {"run-timeout"}
    assert not before & set(engines(house)), "they were ended at their deadline"
    hold_to_log(load.answers, whole_log(house))


def test_out_of_descriptors_a_lost_engine_is_missed_until_there_are_some(fresh: MakeHouse) -> None:
    house = fresh()
    assert house.infer().status_code == 200  # and the connection stays open
    held = len(list(Path(f"/proc/{house.pid}/fd").iterdir()))
    _, hard = resource.prlimit(house.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(house.pid, resource.RLIMIT_NOFILE, (held, hard))
    for pid in engines(house):
        os.kill(pid, signal.SIGKILL)
    answer = until(lambda: (a := house.infer()).status_code == 503 and a)
    assert problem(answer) in {"engines-down", "engine-failed"}
    with contextlib.suppress(httpx.TransportError):
        httpx.get(f"{house.url}/v2")  # there is no descriptor for another caller
    resource.prlimit(house.pid, resource.RLIMIT_NOFILE, (hard, hard))
    until(lambda: house.infer().status_code == 200)
    assert httpx.get(f"{house.place.operations_url}/health/ready").is_success
    assert [line for line in told(house) if line["level"] == "error"] == []
