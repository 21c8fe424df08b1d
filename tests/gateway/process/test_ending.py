"""A process that was asked to stop ends in its time, whatever it waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

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
STOPS_DEAF = """
import asyncio, os, signal
from contextlib import suppress
from gateway.process.doors import Door, serve_doors
from gateway.process.ending import end_within
from gateway.process.life import Life
from tests.gateway.process.test_doors import SETTINGS, Named, free_ports

def told(message):
    if message == "READY=1":
        os.set_blocking(1, False)
        with suppress(BlockingIOError):
            while True:
                os.write(1, bytes(1 << 16))
        os.set_blocking(1, True)
        os.kill(os.getpid(), signal.SIGTERM)

door = Door("public", Named("public"), "127.0.0.1", free_ports(1)[0])
stopping = lambda seconds: end_within(0.2)
asyncio.run(serve_doors([door], SETTINGS, 1, Life(told), lambda: True, stopping))
"""

HANGS_ALREADY = """
import asyncio, os, signal, threading, time
from gateway.process.doors import Door, serve_doors
from gateway.process.ending import end_within
from gateway.process.life import Life
from tests.gateway.process.test_doors import SETTINGS, Named, free_ports

def told(message):
    if message == "READY=1":
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        threading.Event().wait()  # the event loop hears nothing any more

door = Door("public", Named("public"), "127.0.0.1", free_ports(1)[0])
stopping = lambda seconds: end_within(0.2)
asyncio.run(serve_doors([door], SETTINGS, 1, Life(told), lambda: True, stopping))
"""
UNREAD = """
import asyncio, os, signal
import structlog
from gateway.log_sink import LogSink
from gateway.process.doors import Door, serve_doors
from gateway.process.life import Life
from gateway.telemetry import configure_logs
from tests.gateway.process.test_doors import SETTINGS, Named, free_ports

configure_logs("info", LogSink())

def told(message):
    if message == "READY=1":
        for n in range(1000):
            structlog.get_logger().info("many", text="x" * 4000)
        os.kill(os.getpid(), signal.SIGTERM)

door = Door("public", Named("public"), "127.0.0.1", free_ports(1)[0])
asyncio.run(serve_doors([door], SETTINGS, 1, Life(told), lambda: True))
"""


@pytest.mark.e2e
def test_a_thread_that_hangs_does_not_keep_it() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, timeout=240)
    assert done.returncode == EXIT_CODE
    assert b"ended_with_work_left" in done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("script", [DEAF, STOPS_DEAF], ids=["anywhere", "when asked to stop"])
def test_nor_does_a_log_that_nobody_reads(script: str) -> None:
    """It told that it stops before its time began to run, and waited there for ever."""
    reading, writing = os.pipe()
    root = Path(__file__).parents[3]
    try:
        done = subprocess.run([sys.executable, "-c", script], stdout=writing, timeout=240, cwd=root)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == EXIT_CODE


@pytest.mark.e2e
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_hangs_already_does_not_keep_it_from_hearing_the_signal(loop: str) -> None:
    script = HANGS_ALREADY.replace("asyncio.run", f"import {loop}; {loop}.run")
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], timeout=240, cwd=root)
    assert done.returncode == EXIT_CODE


@pytest.mark.e2e
def test_a_log_on_standard_error_that_nobody_reads_does_not_hang_the_loop() -> None:
    """It ends as it should, with nothing left, rather than being ended."""
    reading, writing = os.pipe()
    root = Path(__file__).parents[3]
    try:
        done = subprocess.run([sys.executable, "-c", UNREAD], stderr=writing, timeout=240, cwd=root)
        told = os.read(reading, 100)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0
    assert b"door_open" in told


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
