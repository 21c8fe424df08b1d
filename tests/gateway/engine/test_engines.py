"""Engines as they are: confined processes, with models that were dangerous to whoever ran them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from gateway.engine.errors import (
    EngineBusy,
    EngineFailed,
    EnginesDown,
    RunFailed,
    RunTimeout,
    SetAside,
)
from gateway.engine.forking import ForkServer
from gateway.engine.health import MAX_ENDS
from gateway.engine.pool import Engines, Room
from gateway.engine.ports import PLAIN, EngineKind
from gateway.engine.process import Border
from gateway.errors import ConfigurationError
from tests.audit.samples import until
from tests.gateway.artifacts.hostile_models import (
    build,
    constant,
    endless_loop,
    linear,
    node,
    sequence_output,
    tensor,
    words,
)
from tests.gateway.engine import dangers
from tests.gateway.engine.engines import BOUNDS, TIMEOUT, X, graph, on_a_loop, process_of

pytestmark = pytest.mark.e2e


def is_gone(process: Path) -> bool:
    return not process.exists()


def test_it_answers_as_the_runtime_does(patient: Engines) -> None:
    served = patient.serve(graph(linear(), "label", "y"))

    async def scenario() -> None:
        label, scores = await served.run(X, 1)
        assert (label.tolist(), scores.tolist()) == ([1], [[9.0, 12.0]])

    on_a_loop(scenario)


def test_a_trap_of_the_processor_costs_that_request_only(patient: Engines) -> None:
    divided = patient.serve(graph(dangers.least_divided(), inputs={"x": "INT64"}))
    other = patient.serve(graph(linear(), "y", tenant="rival"))

    async def scenario() -> None:
        for _ in range(2):
            hurt = asyncio.create_task(divided.run({"x": np.array([-2])}, 1))
            assert (await other.run(X, 1))[0].tolist() == [[9.0, 12.0]]
            with pytest.raises(EngineFailed):
                await hurt
            (answer,) = await divided.run({"x": np.array([1])}, 1)
            assert answer.tolist() == [dangers.LEAST // 2]

    on_a_loop(scenario)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_what_waits_goes_to_the_next_engine(engines: Engines, number: signal.Signals) -> None:
    served = engines.serve(graph(endless_loop()))

    async def scenario() -> None:
        loop = asyncio.create_task(served.run({"x": np.ones(1, np.float32)}, 1))
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(served.run({"x": np.full(1, np.nan, np.float32)}, 1))
        os.kill(process_of(served).pid, number)
        with pytest.raises(EngineFailed):
            await loop
        assert np.isnan((await waiting)[0]).all()

    on_a_loop(scenario)


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (endless_loop(), {"x": np.ones(1, np.float32)}),
        (dangers.quadratic_node(60_000), {"x": np.ones((1, 3), np.float32)}),
    ],
    ids=["endless", "one node"],
)
def test_a_deadline_is_kept_by_ending(
    engines: Engines, model: onnx.ModelProto, asked: dict[str, Any]
) -> None:
    served = engines.serve(graph(model))

    async def scenario() -> None:
        before = process_of(served).pid
        with pytest.raises(RunTimeout):
            await served.run(asked, 1)
        await asyncio.to_thread(until, lambda: not os.path.exists(f"/proc/{before}"))

    on_a_loop(scenario)


def test_a_limit_that_changes_holds_for_runs_and_engines_to_come(patient: Engines) -> None:
    """Settings of engines needed a restart; a look at an old deadline must not hide a new one."""
    served = patient.serve(graph(endless_loop()))
    short = {"x": np.full(1, np.nan, np.float32)}

    async def scenario() -> None:
        await served.run(short, 1)  # its deadline is looked at in a minute
        patient.limit(replace(patient._room, run_seconds=TIMEOUT))
        with pytest.raises(RunTimeout):
            await served.run({"x": np.ones(1, np.float32)}, 1)
        patient.limit(replace(patient._room, memory_bytes=1))
        assert np.isnan((await served.run(short, 1))[0]).all(), "nothing is ended for it"
        assert not patient.has_room()

    on_a_loop(scenario)


def test_an_engine_that_is_stopped_is_ended_at_the_deadline(engines: Engines) -> None:
    served = engines.serve(graph(linear(), "y"))

    async def scenario() -> None:
        os.kill(process_of(served).pid, signal.SIGSTOP)
        with pytest.raises(RunTimeout):
            await served.run(X, 1)
        assert (await served.run(X, 1))[0].tolist() == [[9.0, 12.0]]

    on_a_loop(scenario)


def test_a_model_that_ends_its_engines_again_and_again_rests_and_its_owner_is_told(
    patient: Engines, aside: list[str]
) -> None:
    divided = patient.serve(graph(dangers.least_divided(), inputs={"x": "INT64"}))

    async def scenario() -> None:
        for _ in range(MAX_ENDS):
            with pytest.raises(EngineFailed):
                await divided.run({"x": np.array([-2])}, 1)
        with pytest.raises(SetAside):
            await divided.run({"x": np.array([1])}, 1)
        await asyncio.to_thread(until, lambda: bool(aside))

    on_a_loop(scenario)
    assert aside == [f"signal_{signal.SIGFPE.value}"]


@pytest.mark.parametrize("count", [1 << 25, 10**9, 1 << 50])
def test_more_memory_than_there_is_fails_the_run(patient: Engines, count: int) -> None:
    served = patient.serve(graph(dangers.as_large_as_told(), inputs={"x": "INT64"}))

    async def scenario() -> None:
        with pytest.raises(RunFailed):
            await served.run({"x": np.array([count])}, 1)
        assert (await served.run({"x": np.array([3])}, 1))[0].tolist() == [0.0, 0.0, 0.0]

    on_a_loop(scenario)


def test_memory_is_given_back_after_a_peak(patient: Engines) -> None:
    """Once every batch beyond a peak failed for ever, for all tenants."""
    served = patient.serve(graph(dangers.wide()))
    process = process_of(served)
    small = {"x": np.ones((4, 8), np.float32)}

    async def scenario() -> None:
        await served.run(small, 4)
        before = process.resident()
        for _ in range(2):
            for rows in (2_000, 8_000, 16_000):
                await served.run({"x": np.ones((rows, 8), np.float32)}, rows)
            with pytest.raises(RunFailed):
                await served.run({"x": np.ones((100_000, 8), np.float32)}, 100_000)
            assert (await served.run(small, 4))[0].tolist() == [[32768.0]] * 4
        await asyncio.to_thread(until, lambda: process.resident() < before + (24 << 20))

    on_a_loop(scenario)


def test_requests_that_wait_share_a_run_and_each_gets_its_own(patient: Engines) -> None:
    served = patient.serve(graph(linear(), "y", "label", rows=8))

    async def scenario() -> None:
        asked = [np.full((rows, 3), rows, np.float32) for rows in (1, 2, 3, 1, 9, 1)]
        found = await asyncio.gather(*[served.run({"x": x}, len(x)) for x in asked])
        for x, (scores, label) in zip(asked, found, strict=True):
            assert scores.tolist() == (x @ np.array([[1, 2], [3, 4], [5, 6]])).tolist()
            assert len(label) == len(x)

    on_a_loop(scenario)


def test_nobodys_input_fails_another_in_a_shared_run(patient: Engines) -> None:
    table = build(
        [node("Gather", ["table", "x"], ["y"])],
        inputs=[tensor("x", ["n"], onnx.TensorProto.INT64)],
        outputs=[tensor("y", ["n"])],
        constants=[constant("table", [1.0, 2.0], np.float32)],
    )
    served = patient.serve(graph(table, inputs={"x": "INT64"}, rows=16))

    async def scenario() -> None:
        good = [served.run({"x": np.array([number % 2])}, 1) for number in range(4)]
        bad = served.run({"x": np.array([424_242])}, 1)
        *answers, refused = await asyncio.gather(*good, bad, return_exceptions=True)
        found = [answer[0].tolist() for answer in answers if isinstance(answer, list)]
        assert found == [[1.0], [2.0], [1.0], [2.0]]
        assert isinstance(refused, RunFailed)
        assert "424242" not in repr(refused)

    on_a_loop(scenario)


def test_texts_and_sixteen_bit_floats_go_in_and_out(patient: Engines) -> None:
    text = patient.serve(graph(words(), inputs={"x": "BYTES"}))
    brain = build(
        [node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT), node("Identity", ["x"], ["z"])],
        inputs=[tensor("x", ["n"], onnx.TensorProto.BFLOAT16)],
        outputs=[tensor("y", ["n"]), tensor("z", ["n"], onnx.TensorProto.BFLOAT16)],
    )
    cast = patient.serve(graph(brain, "y", "z", inputs={"x": "BF16"}))

    async def scenario() -> None:
        asked = np.array([["a"], ["žluťoučký"], [""], ["d"]], dtype=object)
        assert (await text.run({"x": asked}, 4))[0].tolist() == asked.tolist()
        bits = np.array([1.5, -2.0], ml_dtypes.bfloat16).view(np.uint16)
        values, same = await cast.run({"x": bits}, 2)
        assert (values.tolist(), same.tolist()) == ([1.5, -2.0], bits.tolist())

    on_a_loop(scenario)


@pytest.mark.parametrize("data", [b"no graph", dangers.plain(linear())[:-9]])
def test_bytes_that_are_no_graph_fail_as_ours(engines: Engines, data: bytes) -> None:
    with pytest.raises(RunFailed, match="could not be loaded"):
        engines.serve(graph(data))


def test_an_output_that_is_no_tensor_never_leaves(patient: Engines) -> None:
    served = patient.serve(graph(sequence_output(), sequence_output().graph.output[0].name))

    async def scenario() -> None:
        with pytest.raises(RunFailed):
            await served.run(X, 1)

    on_a_loop(scenario)


def test_a_rank_that_follows_the_rows_is_answered_as_it_is(patient: Engines) -> None:
    border = Border({"x": "FP32"}, ("y",), ("FP32",))
    served = patient.serve(replace(graph(build([node("Squeeze", ["x"], ["y"])])), border=border))

    async def scenario() -> None:
        for rows, shape in ((1, (3,)), (2, (2, 3)), (1, (3,))):
            assert (await served.run({"x": np.ones((rows, 3), np.float32)}, rows))[0].shape == shape

    on_a_loop(scenario)


def test_one_tenants_models_push_out_its_own_only(engines: Engines) -> None:
    other = engines.serve(graph(linear(), "y", tenant="rival"))
    mine = [engines.serve(graph(linear(), "y", name=f"m{number}")) for number in range(30)]
    assert not other.gone
    assert [served.gone for served in mine] == [True] * 25 + [False] * 5
    assert engines.gauge().engines == 6


def test_what_runs_is_not_given_up_and_a_newcomer_is_refused(engines: Engines) -> None:
    async def scenario() -> None:
        busy = [engines.serve(graph(endless_loop(), name=f"m{number}")) for number in range(6)]
        runs = [asyncio.create_task(each.run({"x": np.ones(1, np.float32)}, 1)) for each in busy]
        await asyncio.sleep(0.05)
        with pytest.raises(EngineBusy):
            await asyncio.to_thread(engines.serve, graph(linear(), "y"))
        await asyncio.gather(*runs, return_exceptions=True)

    on_a_loop(scenario)


def test_room_is_counted_by_what_engines_really_hold(server: ForkServer) -> None:
    room = Room(engines=50, memory_bytes=100 << 20, each=BOUNDS, run_seconds=TIMEOUT)
    pool = Engines({PLAIN: server}, room, lambda *_: None)
    for number in range(12):
        pool.serve(graph(linear(), "y", name=f"m{number}"))
    assert 2 <= pool.gauge().engines <= 5
    for served in pool._served:
        served.close()


def test_engines_of_a_fork_server_that_was_killed_end_and_come_back(
    patient: Engines, aside: list[str]
) -> None:
    """As often as it is killed: nobody's model is to blame for that."""
    served = patient.serve(graph(linear(), "y"))
    server = patient.kinds[PLAIN]
    assert isinstance(server, ForkServer)

    async def answers() -> None:
        for _ in range(5):  # the run that met it fails, the next has a new engine
            try:
                assert (await served.run(X, 1))[0].tolist() == [[9.0, 12.0]]
                return
            except EngineFailed:
                await asyncio.sleep(0.1)
        raise AssertionError("no engine came back")

    async def scenario() -> None:
        for _ in range(MAX_ENDS + 1):
            await answers()
            gone = Path(f"/proc/{process_of(served).pid}")
            os.kill(server._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
            await asyncio.to_thread(until, partial(is_gone, gone))
        await answers()

    on_a_loop(scenario)
    assert aside == []


def test_a_kind_whose_python_is_missing_is_told(tmp_path: Path) -> None:
    server = ForkServer(EngineKind("other", tmp_path / "python"))
    with pytest.raises(EnginesDown):
        server.start()
    server.close()


def test_a_kind_that_this_machine_has_not_refuses_the_start_and_says_what_is_missing(
    server: ForkServer,
) -> None:
    absent = EngineKind("gpu", Path(sys.executable), ("CUDAExecutionProvider",))
    other = ForkServer(absent)
    room = Room(engines=6, memory_bytes=4 << 30, each=BOUNDS, run_seconds=TIMEOUT)
    pool = Engines({PLAIN: server, "gpu": other}, room, lambda *_: None)
    with pytest.raises(ConfigurationError, match="`gpu` cannot use `CUDAExecutionProvider`") as it:
        pool.start()
    assert "device and driver" in it.value.advice
    other.close()


def test_no_descriptor_is_left(engines: Engines) -> None:
    engines.serve(graph(linear(), "y")).close()
    before = set(os.listdir("/proc/self/fd"))
    for number in range(5):
        engines.serve(graph(linear(), "y", name=f"m{number}")).close()
    assert set(os.listdir("/proc/self/fd")) <= before


def test_an_engine_has_nothing_of_the_gateway(engines: Engines) -> None:
    os.environ["SEALGATE_CANARY"] = "a secret of the gateway"
    try:
        pid = process_of(engines.serve(graph(linear(), "y"))).pid
        place = Path(f"/proc/{pid}")
        assert b"CANARY" not in (place / "environ").read_bytes()
        opened = sorted(os.readlink(entry).partition(":")[0] for entry in (place / "fd").iterdir())
        assert opened == ["/dev/null"] * 3 + ["pipe"] * 2
        status = (place / "status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapEff:\t0000000000000000" in status
        assert "Threads:\t1" in status
        if os.getuid() == 0:
            assert "Uid:\t65534\t65534\t65534\t65534" in status
        assert os.readlink(place / "ns/net") != os.readlink("/proc/self/ns/net")
    finally:
        del os.environ["SEALGATE_CANARY"]


def test_the_region_cannot_be_made_smaller_under_our_feet(engines: Engines) -> None:
    """A memory file that shrinks raises SIGBUS in whoever touches it next."""
    served = engines.serve(graph(linear(), "y"))
    maps = Path(f"/proc/{process_of(served).pid}/maps").read_text()
    assert "memfd:region" in maps
    assert "memfd:model" not in maps, "the plaintext that it was loaded from is unmapped"
