"""A process that was asked to stop ends in its time, whatever it waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from gateway.process.ending import EXIT_CODE, end_within

HANGS = """
import threading
from gateway.process.ending import end_within
end_within(0.2)
threading.Thread(target=threading.Event().wait).start()
"""
DEAF = """
import os, sys
from gateway.process.ending import end_within
end_within(0.2)
os.write(1, b"x" * (1 << 20))
"""


@pytest.mark.e2e
def test_a_thread_that_hangs_does_not_keep_it() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, timeout=240)
    assert done.returncode == EXIT_CODE
    assert b"ended_with_work_left" in done.stdout


@pytest.mark.e2e
def test_nor_does_a_log_that_nobody_reads() -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run([sys.executable, "-c", DEAF], stdout=writing, timeout=240)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == EXIT_CODE


def test_it_waits_for_the_time_that_was_stated() -> None:
    waited: list[float] = []
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    thread = end_within(17.5, end, waited.append)
    assert ended.wait(240)
    thread.join()
    assert (waited, codes) == ([17.5], [EXIT_CODE])
