"""What the kernel sees of a gateway and its engines during a push and a call, by strace."""

from __future__ import annotations

from pathlib import Path

from tests.audit.samples import until
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House
from tests.tracing import attached, tree


def test_nothing_is_looked_up_and_nothing_written_elsewhere(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh(federation="off")
    with attached(tree(house.pid), tmp_path / "trace") as trace:
        house.push(house.owned["digits"], "2.0")
        house.sealgate("model", "promote", "digits", "2.0")
        assert house.infer().status_code == 200
        forked = len(tree(house.pid))
    assert forked > 2, "the gateway, its fork server and an engine at least"
    assert trace.started("gateway.artifacts.confinement"), "admission was traced"
    assert trace.looked_up() == []
    assert trace.outside(house.place.data) == []
    assert trace.written(house.place.data) == []


def test_an_engine_that_runs_opens_and_sends_nothing(house: House, tmp_path: Path) -> None:
    assert house.infer().status_code == 200
    engines = [pid for pid in tree(house.pid) if sealed_off(pid)]
    assert engines
    with attached(engines, tmp_path / "trace") as trace:
        for _ in range(5):
            assert house.infer().status_code == 200
    assert trace.calls == [], "no call by which something could be opened, sent or started"


def sealed_off(pid: int) -> bool:
    """Whether it is an engine: confined by a filter of system calls."""
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_nothing_is_left_when_the_gateway_stops(fresh: MakeHouse) -> None:
    house = fresh(federation="off")
    assert house.infer().status_code == 200
    everybody = tree(house.pid)
    house.stop()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everybody))
