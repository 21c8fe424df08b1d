"""Lines of a log on standard error: nobody waits for whoever reads them, and they stay whole."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from gateway.standard_error import MAX_WAITING_BYTES, StandardError

PATIENCE = 240


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """What reads and what writes; a service manager may give either."""
    if request.param == "pipe":
        reading, writing = os.pipe()
    else:
        one, other = socket.socketpair()
        reading, writing = one.detach(), other.detach()
    yield reading, writing
    for each in (reading, writing):
        os.close(each)


def lines_read(reading: int, many: int) -> list[bytes]:
    taken = b""
    while taken.count(b"\n") < many:
        taken += os.read(reading, 1 << 16)
    return taken.splitlines(keepends=True)


def test_a_line_for_which_there_is_room_is_written_at_once(ends: tuple[int, int]) -> None:
    reading, writing = ends
    StandardError(writing).write("a line\n")
    assert os.read(reading, 99) == b"a line\n"


def test_a_reader_who_stops_keeps_nobody_waiting_and_loses_what_has_no_room(
    ends: tuple[int, int],
) -> None:
    """The event loop waited in a line of the log, for ever, and heard no signal."""
    reading, writing = ends
    error = StandardError(writing)
    given = [f"{n:06}".encode() + b"x" * 993 + b"\n" for n in range(3 * MAX_WAITING_BYTES // 1000)]
    for line in given:
        error.write(line.decode())
    assert error.lost > 0
    kept = len(given) - error.lost
    assert lines_read(reading, kept) == given[:kept], "whole, in order, and the newest are lost"
    error.finish(PATIENCE)
    error.write("again\n")
    assert lines_read(reading, 1) == [b"again\n"]


def test_who_shares_the_descriptor_does_not_find_it_changed(ends: tuple[int, int]) -> None:
    _, writing = ends
    StandardError(writing).write("a line\n")
    assert os.get_blocking(writing)


def test_lines_for_a_reader_who_is_gone_are_lost_and_counted() -> None:
    reading, writing = os.pipe()
    error = StandardError(writing)
    os.close(reading)
    error.write("two\nlines\n")
    assert error.lost == 2
    os.close(writing)


def test_those_that_wait_when_the_reader_goes_are_too() -> None:
    reading, writing = os.pipe()
    error = StandardError(writing)
    for _ in range(200):
        error.write("x" * 999 + "\n")
    os.close(reading)
    error.finish(PATIENCE)
    assert error.lost > 100
    os.close(writing)
