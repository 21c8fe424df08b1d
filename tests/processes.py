"""A test that starts a process says so: `make quick` leaves out the tests that do.

Claims:
    1. A test without the marker `e2e` that starts a process fails, also where the code under test
       survives that. What a fixture starts counts for the test that asked for it first.
    2. Nothing is in the way of tests that have the marker.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any, Final

import pytest

STARTS: Final = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
)
"""Audit events of the interpreter."""


class Watch:
    """Notes what starts processes while a test runs that does not say so."""

    def __init__(self) -> None:
        self._watching = False
        self._started: list[str] = []
        sys.addaudithook(self._notice)  # for good: the interpreter keeps it

    def _notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._watching and event in STARTS:
            self._started.append(f"{event} {arguments[0] if arguments else ''}")

    def _held(self, item: pytest.Item) -> Generator[None]:
        self._started.clear()
        self._watching = item.get_closest_marker("e2e") is None
        try:
            yield
        finally:
            self._watching = False
        if self._started:
            pytest.fail(f"without the marker `e2e` it started {self._started}", pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        return (yield from self._held(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        return (yield from self._held(item))
