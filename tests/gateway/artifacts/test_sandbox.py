from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.artifacts.errors import Interrupted, SandboxFailed
from gateway.artifacts.sandbox import Alarm, Limits, SandboxResult, run_sandboxed
from tests.tools import NOT_ALLOWED

pytestmark = pytest.mark.e2e

PR_SET_CHILD_SUBREAPER = 36
LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=20, wall_seconds=30.0, output_bytes=1 << 20)


def run(
    do: str, inputs: dict[str, bytes] | None = None, limits: Limits = LIMITS, **args: Any
) -> SandboxResult:
    return run_sandboxed(
        "tests.gateway.artifacts.jobs", inputs or {}, {"do": do, **args}, limits=limits
    )


def failure(do: str, limits: Limits = LIMITS) -> SandboxFailed:
    with pytest.raises(SandboxFailed) as caught:
        run(do, limits=limits)
    return caught.value


def test_inputs_and_outputs_make_the_round_trip() -> None:
    inputs = {"model": os.urandom(70_000), "nothing": b""}
    result = run("echo", inputs, number=3)
    assert result.outputs == inputs
    assert result.report == {"args": {"do": "echo", "number": 3}}


def test_an_endless_loop_ends_by_processor_time() -> None:
    assert failure("spin", Limits(memory_bytes=1 << 30, cpu_seconds=1)).kind == "time"


def test_a_sleeping_job_and_its_children_end_by_the_wall_clock() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans come to us, so we see how they ended
    try:
        assert failure("sleep", Limits(memory_bytes=1 << 30, wall_seconds=1.0)).kind == "time"
        orphan = os.waitid(os.P_ALL, 0, os.WEXITED)
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert orphan is not None
    assert (orphan.si_code, orphan.si_status) == (os.CLD_KILLED, signal.SIGKILL)


def test_a_memory_bomb_is_refused() -> None:
    assert failure("hoard").kind == "memory"


def test_a_flood_of_output_is_refused() -> None:
    assert failure("flood").kind == "output"


def test_an_exception_is_a_crash_whose_text_stays_out_of_the_public_message() -> None:
    error = failure("fail")
    assert error.kind == "crashed"
    assert "secret of the model" in error.diagnostics
    assert "secret" not in str(error)


def test_a_job_that_claims_success_without_a_result_is_refused() -> None:
    assert failure("lie").kind == "output"


def test_inputs_cannot_be_changed() -> None:
    assert run("tamper", {"model": b"weights"}).outputs["seen"] == b"weights"


def test_the_job_has_no_network_no_privilege_and_nothing_inherited() -> None:
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            result = run("look", {"model": b"x"}, port=server.getsockname()[1])
        finally:
            os.close(secret)
    report = result.report
    assert set(report["environment"]) <= {
        "ORT_DISABLE_TELEMETRY",
        "HOME",
        "LANG",
        "LC_CTYPE",
        "MALLOC_ARENA_MAX",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PATH",
    }
    assert report["path"] == 1
    assert report["open_files"] == 5  # the specification twice, the result, an input, its map
    assert result.user_dropped == (os.getuid() == 0)
    assert report["uid"] == (65534 if os.getuid() == 0 else os.getuid())
    if not result.network_isolated:
        pytest.skip(f"{NOT_ALLOWED}this kernel gives no network namespace to this user")
    assert report["network"] is not None


WITHOUT_NAMESPACES = """
import socket
import subprocess
import sys
from gateway.artifacts.sandbox import Limits, run_sandboxed
with socket.create_server(("127.0.0.1", 0)) as server:
    asked = {"do": "look", "port": server.getsockname()[1]}
    done = run_sandboxed("tests.gateway.artifacts.jobs", {}, asked, limits=Limits())
print(done.network_isolated, done.report["network"])
"""


def test_without_namespaces_a_job_can_make_no_socket() -> None:
    """As in a container; it could reach whatever the gateway can."""
    root = Path(__file__).parents[3]
    wrapped = (str(root / "tests/e2e/without_calls.py"), "unshare", "--", sys.executable)
    done = subprocess.run(
        [sys.executable, *wrapped, "-c", WITHOUT_NAMESPACES],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "PermissionError"]


def test_no_file_descriptor_leaks() -> None:
    before = set(os.listdir("/proc/self/fd"))
    run("echo", {"model": b"x"})
    failure("fail")
    assert set(os.listdir("/proc/self/fd")) <= before


def test_an_alarm_ends_the_jobs_under_way_and_those_to_come() -> None:
    alarm = Alarm()
    limits = Limits(memory_bytes=1 << 30, cpu_seconds=600, wall_seconds=600.0)

    def asleep(_: int) -> None:
        with pytest.raises(Interrupted):
            run_sandboxed(
                "tests.gateway.artifacts.jobs", {}, {"do": "sleep"}, limits=limits, alarm=alarm
            )

    with ThreadPoolExecutor(2) as two:
        under_way = [two.submit(asleep, number) for number in range(2)]
        alarm.ring()
        for job in under_way:
            job.result(240)
    asleep(3)


def test_a_job_whose_alarm_is_silent_ends_by_itself() -> None:
    result = run_sandboxed(
        "tests.gateway.artifacts.jobs", {"a": b"b"}, {"do": "echo"}, limits=LIMITS, alarm=Alarm()
    )
    assert result.outputs == {"a": b"b"}
