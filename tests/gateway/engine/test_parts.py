from __future__ import annotations

import platform
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.engine import health, inside, system_calls
from gateway.engine.batching import by_row, share_out, take
from gateway.engine.health import MAX_ENDS, REST_SECONDS, WINDOW_SECONDS, Health
from gateway.engine.orders import STARTED, Order, read_report, report


@dataclass
class Waiting:
    inputs: Mapping[str, Any]
    rows: int
    alone: bool = False


def asked(rows: int, width: int = 3, dtype: Any = np.float32) -> Waiting:
    return Waiting({"x": np.zeros((rows, width), dtype)}, rows)


def test_what_fits_goes_together_in_the_order_of_arrival() -> None:
    waiting = deque([asked(1), asked(2), asked(1), asked(8), asked(1)])
    first = list(waiting)
    assert take(waiting, 8) == first[:3]
    assert take(waiting, 8) == [first[3]]
    assert take(waiting, 8) == [first[4]]
    assert not waiting


@pytest.mark.parametrize(
    "other", [asked(1, 4), asked(1, 3, np.float64), Waiting({"y": np.zeros((1, 3))}, 1)]
)
def test_only_like_goes_with_like(other: Waiting) -> None:
    waiting = deque([asked(1), other, asked(1)])
    assert len(take(waiting, 8)) == 1


def test_where_rows_may_depend_on_each_other_everybody_goes_alone() -> None:
    waiting = deque([asked(0), asked(1)])  # not even beside a request of no rows
    assert len(take(waiting, 1)) == 1


def test_who_goes_alone_is_joined_by_nobody() -> None:
    first, second, third = asked(1), asked(1), asked(1)
    second.alone = True
    waiting = deque([first, second, third])
    assert [take(waiting, 8) for _ in range(3)] == [[first], [second], [third]]


def test_a_default_that_is_given_has_rows_of_its_own() -> None:
    assert by_row({"x": np.zeros((2, 3))}, 2)
    assert not by_row({"x": np.zeros((2, 3)), "k": np.zeros(1)}, 2)
    assert not by_row({"x": np.zeros((2, 3)), "k": np.zeros(())}, 2)


def test_more_rows_than_a_shared_run_has_go_alone() -> None:
    waiting = deque([asked(100), asked(1)])
    assert [each.rows for each in take(waiting, 8)] == [100]


def test_everybody_gets_the_own_rows() -> None:
    outputs = [np.arange(6).reshape(6, 1), np.arange(6)]
    shares = share_out(outputs, [1, 2, 3])
    assert shares is not None
    assert [share[1].tolist() for share in shares] == [[0], [1, 2], [3, 4, 5]]
    assert [share[0].shape for share in shares] == [(1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize("output", [np.zeros(5), np.zeros(()), np.zeros((1, 6))])
def test_an_output_without_a_row_for_each_is_not_shared_out(output: Any) -> None:
    assert share_out([np.zeros(6), output], [1, 2, 3]) is None


def test_an_engine_that_ends_is_started_at_once_then_after_pauses_then_its_model_rests() -> None:
    state = Health()
    pauses = [state.ended(float(number)) for number in range(MAX_ENDS)]
    assert pauses[0] == 0.0
    assert pauses[1:-1] == sorted(set(pauses[1:-1]))
    assert pauses[-1] == REST_SECONDS
    assert state.rest(MAX_ENDS - 1 + REST_SECONDS - 0.1)
    assert not state.rest(MAX_ENDS - 1 + REST_SECONDS)


def test_ends_that_are_far_apart_are_no_habit() -> None:
    state = Health()
    for number in range(3 * MAX_ENDS):
        assert state.ended(number * WINDOW_SECONDS) == 0.0
        assert not state.rest(number * WINDOW_SECONDS)


def test_each_rest_is_longer_and_none_is_for_ever() -> None:
    state, now, rests = Health(), 0.0, []
    for _ in range(40):
        for _ in range(MAX_ENDS):
            rest = state.ended(now)
        rests.append(rest)
        now += rest
    assert rests == sorted(rests)
    assert rests[-1] == health.LONGEST_REST_SECONDS


def test_messages_come_back() -> None:
    order = Order(7, 1, 2, 3, 4, 5, 6)
    assert Order.decode(order.encode()) == order
    assert read_report(report(STARTED, 7, -9, "1.2.3")) == (STARTED, 7, -9, "1.2.3")
    with pytest.raises(struct.error):
        Order.decode(b"short")


@pytest.mark.parametrize("name", system_calls.ARCHITECTURES)
def test_every_named_call_has_a_number_and_only_one_answer(name: str) -> None:
    architecture = system_calls.ARCHITECTURES[name]
    allowed = {architecture.numbers[call] for call in architecture.allowed}
    refused = {architecture.numbers[call] for call in architecture.refused}
    assert not allowed & refused
    wide = {architecture.numbers[call] for call in architecture.wide}
    special = {architecture.numbers["clone"]}
    assert allowed | refused | wide | special == set(architecture.numbers.values())


def test_this_machine_has_a_filter() -> None:
    assert platform.machine() in system_calls.ARCHITECTURES


X86 = system_calls.ARCHITECTURES["x86_64"]


@pytest.mark.parametrize(
    ("call", "third", "verdict"),
    [
        ("read", 0, 0x7FFF0000),
        ("mmap", 3, 0x7FFF0000),
        ("mmap", 7, 0x00050001),  # PROT_EXEC
        ("mprotect", 5, 0x00050001),
        ("openat", 0, 0x00050001),
        ("clone3", 0, 0x00050026),  # ENOSYS
        ("futex", 4, 0x7FFF0000),
    ],
)
def test_the_filter_says(call: str, third: int, verdict: int) -> None:
    assert decide(X86.audit, X86.numbers[call], third) == verdict


@pytest.mark.parametrize("number", [56, 57, 58, 59, 62, 101, 41 + 0x40000000, 319, 425, 310])
def test_any_other_call_ends_the_process(number: int) -> None:
    """clone, fork, vfork, execve, kill, ptrace, x32, memfd_create, io_uring, process_vm_readv."""
    assert decide(X86.audit, number, 0) == 0x80000000


def test_calls_of_another_architecture_end_the_process() -> None:
    assert decide(0x40000003, 3, 0) == 0x80000000


@pytest.mark.parametrize(
    ("call", "first", "third", "verdict"),
    [
        ("clone", 0x3D0F00, 0, 0x7FFF0000),  # as the C library starts a thread
        ("clone", 0x1200011, 0, 0x80000000),  # and as it forks
        ("mprotect", 0, 5, 0x7FFF0000),
        ("openat", 0, 0, 0x7FFF0000),
        ("clone3", 0, 0, 0x00050026),
        ("socket", 0, 0, 0x00050001),
    ],
)
def test_the_wide_filter_says(call: str, first: int, third: int, verdict: int) -> None:
    assert decide(X86.audit, X86.numbers[call], third, first, wide=True) == verdict


@pytest.mark.parametrize("number", [57, 58, 59, 62, 101, 56 + 0x40000000, 425])
def test_the_wide_filter_ends_the_process_for_any_other_call(number: int) -> None:
    assert decide(X86.audit, number, 0, wide=True) == 0x80000000


def decide(
    architecture: int, number: int, third: int, first: int = 0, *, wide: bool = False
) -> int:
    """Run the filter as the kernel does."""
    data = struct.pack("<IIQQQQ", number, architecture, 0, first, 0, third)
    steps = list(struct.iter_unpack("<HBBI", system_calls.program(X86, wide=wide)))
    at, value = 0, 0
    while True:
        operation, yes, no, operand = steps[at]
        at += 1
        if operation == 0x20:
            value = struct.unpack_from("<I", data, operand)[0]
        elif operation == 0x15:
            at += yes if value == operand else no
        elif operation == 0x45:
            at += yes if value & operand else no
        else:
            assert operation == 0x06
            return int(operand)


def test_devices_are_those_of_the_driver_that_there_are(tmp_path: Path) -> None:
    assert system_calls.gpu_devices(tmp_path) == ()
    there = ("nvidia0", "nvidia12", "nvidia-uvm", "nvidia-uvm-tools", "nvidiactl")
    for name in (*there, "nvidia-modeset", "nvidiafb", "nvidia0x", "sda", "dri"):
        (tmp_path / name).touch()
    assert system_calls.gpu_devices(tmp_path) == tuple(sorted(str(tmp_path / n) for n in there))


@pytest.mark.parametrize("wide", [False, True])
def test_only_another_kind_is_given_devices(wide: bool) -> None:
    assert bool(inside.opens(wide=wide)[0]) == wide
    assert set(inside.opens(wide=wide)[1]) == (set(system_calls.gpu_devices()) if wide else set())
