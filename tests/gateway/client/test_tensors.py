"""Tensors as a caller writes and reads them."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.tensors import DTYPES, AnswerMalformed, Tensor, answer_of, request_of


def echoed(*tensors: Tensor) -> list[Tensor]:
    """What comes back if a request is read as an answer."""
    request = request_of(tensors, {})
    length = int(request.headers["inference-header-content-length"])
    header = json.loads(request.body[:length])
    header["outputs"] = header.pop("inputs")
    told = json.dumps(header).encode()
    return answer_of(told + request.body[length:], str(len(told)))[1]


@pytest.mark.parametrize("datatype", sorted(set(DTYPES) - {"BYTES", "BF16"}))
def test_every_value_arrives_as_it_is(datatype: str) -> None:
    bits = np.arange(64, dtype=np.uint8) % 2 if datatype == "BOOL" else np.arange(64, dtype="u1")
    values = bits.view(DTYPES[datatype]).reshape(2, -1)
    (back,) = echoed(Tensor("x", datatype, values))
    assert back.values.tobytes() == values.tobytes()
    assert back.values.shape == values.shape


def test_text_and_bytes_arrive_as_they_are() -> None:
    values = np.array([["", "Zürich"], ["a,b", b"\xff\x00"]], np.object_)
    (back,) = echoed(Tensor("x", "BYTES", values))
    assert back.values.tolist() == values.tolist()


def test_bf16_is_rounded_to_the_nearest_and_what_is_no_number_stays_none() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -0.0, np.inf, np.nan], np.float32)
    (back,) = echoed(Tensor("x", "BF16", values))
    assert back.values[:5].tolist() == [1.0, 1.0, 1.015625, -0.0, np.inf]
    assert np.isnan(back.values[5])
    assert np.signbit(back.values[3])


def test_outputs_in_json_are_read_too() -> None:
    told = {
        "model_name": "m",
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [2], "data": [1, 2]}],
    }
    members, (output,) = answer_of(json.dumps(told).encode(), None)
    assert members == {"model_name": "m"}
    assert output.values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("told", "raw"),
    [
        ({"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 4}}]}, 4),  # noqa: E501
        ({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 8}}]}, 4),  # noqa: E501
        ({"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1], "data": [1]}]}, 0),
        ({"outputs": [{"name": "y", "datatype": "QUBIT", "shape": [1], "data": [1]}]}, 0),
        ({"outputs": []}, 3),
        ({"outputs": [7]}, 0),
        ([], 0),
        ({}, 0),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_itself_is_refused(told: object, raw: int) -> None:
    header = json.dumps(told).encode()
    with pytest.raises(AnswerMalformed):
        answer_of(header + bytes(raw), str(len(header)))


@given(st.binary(max_size=200), st.none() | st.integers(-3, 300).map(str) | st.text(max_size=3))
def test_whatever_bytes_come_the_end_is_an_answer_or_this_error(
    content: bytes, length: str | None
) -> None:
    with contextlib.suppress(AnswerMalformed):
        answer_of(content, length)
