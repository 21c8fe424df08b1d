"""The processor time of a server is that of all its processes, whatever became of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench.processes import cpu_seconds, family

BURN = "import time\nwhile time.process_time() < 0.4: pass"
SERVER = f"""
import subprocess, sys, os
burn = [sys.executable, "-c", {BURN!r}]
subprocess.run(burn, check=True)  # it ended and was waited for
orphan = [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:])"]
then = burn[2] + "\\nprint('burnt', flush=True)\\ntime.sleep(60)"
subprocess.run([*orphan, *burn[:2], then], check=True)
sys.stdin.read()
"""


@pytest.mark.e2e
def test_the_time_of_children_that_ended_and_of_orphans_is_counted() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"burnt\n"
    members = family(server.pid)
    assert len(members) == 2, "the server and the orphan"
    assert cpu_seconds(server.pid) >= 0.7
    for one in members:
        os.kill(one, 9)
    server.wait()
    server.stdin.close()
    server.stdout.close()
