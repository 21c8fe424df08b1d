from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.aggregation import Contribution
from federated.errors import WireInvalid
from federated.rounds import Instruction, SiteFailure
from federated.task import TrainingSettings

pytestmark = pytest.mark.federated
flwr = pytest.importorskip("flwr.app")

from federated.wire import (  # noqa: E402 - needs the `federated` extra
    answer_to_records,
    instruction_to_records,
    records_to_answer,
    records_to_instruction,
)


def instruction(*values: float) -> Instruction:
    return Instruction("train", 3, 2, np.array(values), TrainingSettings(5, 0.1, 0.01))


def test_instruction_survives() -> None:
    sent = instruction(1.0, -2.5, np.pi)
    got = records_to_instruction(instruction_to_records(sent))
    np.testing.assert_array_equal(got.vector, sent.vector)
    assert (got.operation, got.round, got.features) == ("train", 3, 2)
    assert got.training == sent.training


def test_answer_survives_and_is_named_by_the_receiver() -> None:
    sent = Contribution("", 12, np.array([1.0, np.nan]), {"loss": 0.5})
    got = records_to_answer(answer_to_records(sent), "a")
    assert isinstance(got, Contribution)
    assert (got.site, got.rows, dict(got.metrics)) == ("a", 12, {"loss": 0.5})
    np.testing.assert_array_equal(got.vector, sent.vector)


def test_failure_survives() -> None:
    records = answer_to_records(SiteFailure("", "too_few_rows"))
    assert records_to_answer(records, "a") == SiteFailure("a", "too_few_rows")


@pytest.mark.parametrize("code", ["", "a" * 65, "Traceback: row 7", "<b>", "ünknown"])
def test_a_code_is_a_word(code: str) -> None:
    records = answer_to_records(SiteFailure("", code))
    assert records_to_answer(records, "a") == SiteFailure("a", "wire_invalid")


def test_one_message_carries_one_array() -> None:
    records = instruction_to_records(instruction(*range(100)))
    assert len(next(iter(records.array_records.values()))) == 1


def hostile() -> Any:
    array = st.sampled_from(
        [np.zeros(2), np.zeros((2, 2)), np.zeros(2, dtype=np.float32), np.array(1.0)]
    )
    arrays = st.lists(array, max_size=2).map(flwr.ArrayRecord)
    number = st.integers(-(2**63), 2**63 - 1) | st.floats()
    keys = st.sampled_from(["rows", "m.loss", "error", "operation", "round", "epochs", "x"])
    configs = st.dictionaries(keys, number | st.text(max_size=9) | st.booleans(), max_size=5)
    records = st.one_of(
        arrays,
        configs.map(flwr.ConfigRecord),
        st.dictionaries(keys, number, max_size=4).map(flwr.MetricRecord),
    )
    names = st.sampled_from(["vector", "task", "result", "other"])
    return st.dictionaries(names, records, max_size=4).map(flwr.RecordDict)


@given(hostile())
def test_any_records_end_as_an_answer(records: Any) -> None:
    assert records_to_answer(records, "a").site == "a"


@given(hostile())
def test_any_records_end_as_an_instruction_or_our_error(records: Any) -> None:
    try:
        records_to_instruction(records)
    except WireInvalid:
        return


def test_settings_in_the_place_of_the_array_are_a_failure() -> None:
    records = flwr.RecordDict({"vector": flwr.ConfigRecord({"rows": 1})})
    assert isinstance(records_to_answer(records, "a"), SiteFailure)


@pytest.mark.parametrize(
    "data",
    [
        b"not an npy",
        b"",
        b"\x93NUMPY\x01\x00\x02\x00((",  # its parser has an error of its own for this
        b"\x93NUMPY\x03\x00\x01\x00\x00\x00\xff",
    ],
)
def test_bytes_that_are_no_array_are_a_failure(data: bytes) -> None:
    array = flwr.Array(dtype="float64", shape=(2,), stype="numpy.ndarray", data=data)
    records = flwr.RecordDict(
        {
            "vector": flwr.ArrayRecord({"0": array}),
            "result": flwr.MetricRecord({"rows": 3}),
        }
    )
    assert records_to_answer(records, "a") == SiteFailure("a", "wire_invalid")
