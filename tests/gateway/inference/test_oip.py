from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.codec import select
from gateway.inference.errors import AnswerNotFinite, MalformedRequest, UnsupportedParameter
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


KINDS = {"p": "FP32", "label": "BYTES", "b": "BF16", "u": "UINT16"}
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


@pytest.mark.parametrize(
    "twice",
    [
        b'"inputs": [%T], "inputs": [%T]',
        b'"inputs": [%T], "id": "a", "id": "b"',
        b'"inputs": [%T], "id": "a", "id": null',
        b'"inputs": [%T], "parameters": {"purpose": "a"}, "parameters": {"purpose": "b"}',
        b'"inputs": [%T], "parameters": {"subject": "a", "subject": "b"}',
        b'"inputs": [%T], "parameters": {"x": {"y": 1, "y": 2}}',
        b'"inputs": [%T], "outputs": [{"name": "y", "name": "z"}]',
        b'"inputs": [%T], "unknown": {"a": 1, "a": 2}',
        b'"inputs": [%I, "data": [3, 4]}]',
        b'"inputs": [%I, "sh\\u0061pe": [1, 2]}]',
    ],
)
def test_a_name_given_twice_is_refused_wherever_it_is(twice: bytes) -> None:
    """The last one won: what had looked at the request before could have taken the first."""
    tensor = b'{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}'
    text = b"{" + twice.replace(b"%T", tensor).replace(b"%I", tensor[:-1]) + b"}"
    with pytest.raises(MalformedRequest, match="twice"):
        parse(text, None)


def test_colons_in_texts_and_members_that_nobody_knows_are_no_names_given_twice() -> None:
    texts = {"name": "x", "shape": [2], "datatype": "BYTES", "data": ["a:b", '"x": 1, "x": 2']}
    parameters = {"x": {"y": [{"z": ":"}]}}
    request = {"inputs": [texts], "id": "::", "parameters": parameters, "more": {"a": ":", "b": {}}}
    assert parse(json.dumps(request).encode(), None).inputs["x"].tolist() == texts["data"]


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
    except (MalformedRequest, UnsupportedParameter):
        return


def test_what_is_optional_may_be_null() -> None:
    tensor = {**TENSOR, "parameters": None}
    members = {"id": None, "parameters": None, "outputs": None}
    request = parse(json.dumps({"inputs": [tensor], **members}).encode(), None)
    assert (request.id, request.outputs, request.binary) == (None, (), frozenset())
    request = parse(body(outputs=[{"name": "p", "parameters": None}]), None)
    assert request.outputs == ("p",)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_who_writes_what_json_has_not_is_told_where_it_may_be_sent(token: str) -> None:
    text = body().replace(b'"data": [1, 2]', b'"data": [1, %b]' % token.encode())
    with pytest.raises(MalformedRequest, match="binary form"):
        parse(text, None)


@pytest.mark.parametrize(
    "members",
    [
        {"parameters": {"sequence_id": 7, "sequence_start": True}},
        {"parameters": {"sequence_id": "a"}},
        {"parameters": {"sequence_end": True}},
        {"inputs": [{**TENSOR, "parameters": {"shared_memory_region": "r"}}]},
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1],
                    "datatype": "FP32",
                    "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 4},
                }
            ]
        },
        {"outputs": [{"name": "p", "parameters": {"shared_memory_offset": 0}}]},
    ],
)
def test_a_parameter_that_changes_the_meaning_is_not_passed_over(members: Any) -> None:
    with pytest.raises(UnsupportedParameter):
        parse(json.dumps({"inputs": [TENSOR], **members}).encode(), None)


def test_other_parameters_are_passed_over() -> None:
    others = {
        "sequence_id": 0,
        "priority": 2,
        "timeout": 1000,
        "content_type": "np",
        "headers": {"a": "b"},
        "tags": [1],
    }
    assert parse(body(parameters={**others, "purpose": "care"}), None).purpose == "care"


def rendered(
    outputs: dict[str, Any], asked: list[Any] | None = None, **parameters: Any
) -> tuple[Any, list[bytes]]:
    request = parse(body(outputs=asked, parameters=parameters), None)
    parts, _ = render("m", "1", request, outputs, KINDS)
    return orjson.loads(parts[0])["outputs"], parts[1:]


BEYOND = np.array([1.0, np.nan, -np.inf], np.float32)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_what_json_cannot_carry_is_refused_and_never_null(kind: Any) -> None:
    for asked in (None, [{"name": "p"}], [{"name": "p", "parameters": {"binary_data": False}}]):
        with pytest.raises(AnswerNotFinite, match="`p` in binary form"):
            rendered({"p": BEYOND.astype(kind)}, asked)
    with pytest.raises(AnswerNotFinite):
        rendered({"b": np.array([0x7F80], np.uint16)})


@pytest.mark.parametrize(
    ("asked", "parameters"),
    [
        ([{"name": "p", "parameters": {"binary_data": True}}], {}),
        (None, {"binary_data_output": True}),
        ([{"name": "p", "parameters": {"binary_data": False}}], {"binary_data_output": True}),
        ([{"name": "p"}, {"name": "u", "parameters": {"binary_data": True}}], {}),
    ],
)
def test_who_takes_binary_gets_what_json_cannot_carry(asked: Any, parameters: Any) -> None:
    (told,), parts = rendered({"p": BEYOND}, asked, **parameters)
    assert told["parameters"] == {"binary_data_size": 12}
    np.testing.assert_array_equal(np.frombuffer(parts[0], "<f4"), BEYOND)


def test_the_word_null_in_an_answer_means_nothing() -> None:
    request = parse(body(id="null"), None)
    for outputs in ({"p": np.ones(2, np.float32)}, {"label": np.array(["null"], np.object_)}):
        parts, length = render("null", "1", request, outputs, KINDS)
        assert (len(parts), length) == (1, None)
        assert b"null" in parts[0]
    classes = [{"name": "p", "parameters": {"classification": 1}}]
    request = parse(body(id="null", outputs=classes), None)
    parts, _ = render("m", "1", request, {"p": BEYOND}, KINDS)
    assert orjson.loads(parts[0])["outputs"][0]["data"] == ["1.0:0"]


def test_bfloat16_and_uint16_are_told_apart_by_the_manifest() -> None:
    bits = np.array([0x3F80, 0xC000, 0x3DCD], np.uint16)
    (brain, plain), _ = rendered({"b": bits, "u": bits})
    assert (brain["datatype"], brain["data"]) == ("BF16", [1.0, -2.0, 0.100097656])
    assert (plain["datatype"], plain["data"]) == ("UINT16", [0x3F80, 0xC000, 0x3DCD])
    (brain,), parts = rendered({"b": bits}, binary_data_output=True)
    assert (brain["datatype"], parts) == ("BF16", [bits.astype("<u2").tobytes()])


def test_an_input_of_bfloat16_is_known_as_one() -> None:
    tensor = {"name": "x", "shape": [2], "datatype": "BF16", "data": [1, -2]}
    request = parse(json.dumps({"inputs": [tensor, {**TENSOR, "name": "y"}]}).encode(), None)
    assert request.bfloat16 == {"x"}
    assert request.inputs["x"].tolist() == [0x3F80, 0xC000]


def test_classes_are_told_as_texts_in_both_forms() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    asked = {"name": "p", "parameters": {"classification": 2}}
    (told,), _ = rendered({"p": scores}, [asked])
    assert (told["datatype"], told["shape"]) == ("BYTES", [2, 2])
    assert told["data"] == ["0.7:1", "0.2:2", "0.5:0", "0.25:1"]
    asked["parameters"] = {"classification": 1, "binary_data": True}
    (told,), parts = rendered({"p": scores}, [asked])
    assert parts == [b"\x05\0\0\x000.7:1\x05\0\0\x000.5:0"]


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
def test_a_number_of_classes_is_a_positive_integer(count: object) -> None:
    with pytest.raises(MalformedRequest):
        parse(body(outputs=[{"name": "p", "parameters": {"classification": count}}]), None)


def test_an_answer_is_rendered_in_both_forms() -> None:
    request = parse(
        body(id="r1", outputs=[{"name": "p", "parameters": {"binary_data": True}}]), None
    )
    outputs = {"p": np.array([[0.5]], np.float32), "label": np.array(["yes"], np.object_)}
    parts, length = render("m", "1", request, outputs, KINDS, {"sealgate_degraded": "label"})
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
