from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.codec import select
from gateway.inference.errors import MalformedRequest
from gateway.inference.oip import OipRequest, parse, render


def body(**members: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    return json.dumps({"inputs": [tensor], **members}).encode()


def test_a_plain_request_is_read() -> None:
    request = parse(body(id="r1", parameters={"purpose": "care", "subject": "p-1"}), None)
    assert request.id == "r1"
    assert request.purpose == "care"
    assert request.subjects == ("p-1",)
    assert request.inputs["x"].tolist() == [[1.0, 2.0]]
    assert request.binary == frozenset()


def test_binary_tensors_take_their_bytes_in_order() -> None:
    first, second = np.array([1, 2], "<f4"), np.array([3], "<i8")
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "a",
                    "shape": [2],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": 8},
                },
                {
                    "name": "b",
                    "shape": [1],
                    "datatype": "INT64",
                    "parameters": {"binary_data_size": 8},
                },
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    request = parse(head + first.tobytes() + second.tobytes(), len(head))
    assert request.inputs["a"].tolist() == [1, 2]
    assert request.inputs["b"].tolist() == [3]
    assert request.binary is None


def test_subjects_come_one_a_row_and_never_reach_the_model() -> None:
    tensors = [
        {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]},
        {"name": "sealgate_subject", "shape": [2], "datatype": "BYTES", "data": ["p1", "p2"]},
    ]
    request = parse(json.dumps({"inputs": tensors}).encode(), None)
    assert request.subjects == ("p1", "p2")
    assert list(request.inputs) == ["x"]


TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 200_000,
        body()[:-2],
        json.dumps({"inputs": [TENSOR, TENSOR]}).encode(),
        json.dumps({"inputs": [{**TENSOR, "data": None}]}).encode(),
        json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}).encode(),
        json.dumps({"inputs": [TENSOR] * 300}).encode(),
        body(parameters={"subject": ""}),
        body(parameters={"purpose": 5}),
        body(parameters={"purpose": "x" * 600}),
        body(parameters={"purpose": {"a": 1}}),
        body(id="x" * 600),
    ],
)
def test_malformed_bodies_are_refused(bad: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse(bad, None)


@pytest.mark.parametrize("length", [0, -1, 10_000])
def test_a_header_length_outside_the_body_is_refused(length: int) -> None:
    with pytest.raises(MalformedRequest):
        parse(body(), length)


def test_bytes_left_over_are_refused() -> None:
    with pytest.raises(MalformedRequest):
        parse(body() + b"xx", len(body()))


def test_a_subject_is_named_once() -> None:
    tensors = [
        TENSOR,
        {"name": "sealgate_subject", "shape": [1], "datatype": "BYTES", "data": ["p"]},
    ]
    with pytest.raises(MalformedRequest):
        parse(json.dumps({"inputs": tensors, "parameters": {"subject": "q"}}).encode(), None)


@given(st.binary(), st.none() | st.integers(-5, 50))
def test_any_bytes_give_a_request_or_our_error(data: bytes, length: int | None) -> None:
    try:
        assert isinstance(parse(data, length), OipRequest)
    except MalformedRequest:
        return


def test_an_answer_is_rendered_in_both_forms() -> None:
    request = parse(
        body(id="r1", outputs=[{"name": "p", "parameters": {"binary_data": True}}]), None
    )
    outputs = {"p": np.array([[0.5]], np.float32), "label": np.array(["yes"], np.object_)}
    parts, length = render("m", "1", request, outputs, {"sealgate_degraded": "label"})
    head = orjson.loads(parts[0])
    assert length == len(parts[0])
    assert head["id"] == "r1"
    assert head["parameters"] == {"sealgate_degraded": "label"}
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 4}
    assert np.frombuffer(parts[1], "<f4").tolist() == [0.5]
    assert head["outputs"][1]["data"] == ["yes"]


def test_outputs_are_selected_by_name() -> None:
    outputs = {"a": np.zeros(1), "b": np.ones(1)}
    assert list(select(outputs, ("b",))) == ["b"]
    assert list(select(outputs, ())) == ["a", "b"]
    with pytest.raises(MalformedRequest):
        select(outputs, ("nope",))
