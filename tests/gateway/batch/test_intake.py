from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import SandboxFailed
from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.sandbox import SandboxResult
from gateway.batch.errors import RowsRefused
from gateway.batch.intake import CHUNK_ROWS, Chunk, Intake, read_result, rows_of
from gateway.errors import StateConflict
from tests.gateway.inference.works import CLEAN

from .desk import desk, lines


def told(report: Any, **outputs: bytes) -> SandboxResult:
    return SandboxResult(report, outputs, network_isolated=True, user_dropped=True)


def test_a_report_is_taken_as_it_is_meant() -> None:
    result = told({"chunks": [[2, 3]], "subjects": False}, **{"0": b"{}\n.."})
    assert read_result(result) == [Chunk(2, 3, b"{}\n..")]


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"chunks": []},
        {"chunks": [[2]]},
        {"chunks": [[2, 3], [1, 1]]},
        {"chunks": [[0, 3]]},
        {"chunks": [[CHUNK_ROWS + 1, 3]]},
        {"chunks": [[2, 99]]},
        {"chunks": [[True, 3]]},
        {"chunks": {"0": 1}},
        {"refused": "a reason of its own"},
    ],
)
def test_a_report_that_cannot_be_is_a_crash(report: Any) -> None:
    with pytest.raises(RowsRefused) as caught:
        read_result(told(report, **{"0": b"{}\n.."}))
    assert caught.value.reason == "crashed"


@given(
    st.dictionaries(
        st.sampled_from(["refused", "row", "column", "chunks"]),
        st.integers() | st.text(max_size=3) | st.lists(st.lists(st.integers(-1, 9), max_size=3)),
    )
)
def test_whatever_a_report_says_it_is_chunks_or_refused(report: Any) -> None:
    with contextlib.suppress(RowsRefused):
        assert read_result(told(report, **{"0": b"{}\n.."}))


INPUT = TensorSpec(name="in", datatype="FP32", shape=(-1, 6))


def spec(*shape: int) -> TensorSpec:
    return TensorSpec(name="x", datatype="FP32", shape=shape)


def test_only_versions_that_take_rows_are_asked() -> None:
    assert rows_of([spec(-1, 3), spec(-1)]) == CHUNK_ROWS
    assert rows_of([spec(1, 3)]) == 1
    for fixed in ([spec(8, 3)], [spec(-1, 3), spec(1)], [spec()]):
        with pytest.raises(RowsRefused):
            rows_of(fixed)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("memory", "too_large"), ("output", "too_large"), ("time", "time"), ("crashed", "crashed")],
)
def test_a_reader_that_ends_badly_is_told_and_leaves_nothing(kind: Any, reason: str) -> None:
    def fails(*given: Any, **named: Any) -> SandboxResult:
        raise SandboxFailed(kind)

    with desk() as counter:
        counter.shop.publish()
        base, ledger = counter.shop.house.base, counter.parts.ledger
        batch = counter.start(lines(CLEAN))
        intake = Intake(ledger, base.sealer, base.vault, fails)
        with pytest.raises(RowsRefused) as caught:
            intake.take(batch, [spec(-1, 6)], personal=False, most=99)
        assert caught.value.reason == reason
        assert counter.kept(batch) == []


def test_nothing_is_taken_in_for_a_job_that_was_deleted_meanwhile() -> None:
    with desk(chunk_rows=2) as counter:
        counter.shop.publish()
        batch = counter.start(lines(CLEAN))
        counter.parts.ledger.delete(batch)
        stored = {payload.digest for payload in counter.shop.version().payloads}
        source = counter.shop.sealer.seal_bytes(batch.tenant, lines(CLEAN), "rows")
        late = replace(batch, source=source)
        with pytest.raises(StateConflict):
            counter.parts.intake.take(late, [INPUT], personal=False, most=99)
        counter.shop.sealer.remove(source.digest)
        folder = counter.shop.house.base.settings.data_dir / "artifacts" / "payload"
        assert {path.name for path in folder.iterdir()} == stored
