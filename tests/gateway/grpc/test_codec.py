"""Messages against protobuf's own reader and writer, and arbitrary bytes against nothing."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from gateway.grpc import messages
from gateway.grpc.infer_codec import MAX_PARAMETERS, GrpcCodec, names_so_far, respond
from gateway.grpc.typed_contents import BLOCK, FIELD_OF, from_contents
from gateway.grpc.wire import fields, write, write_bytes, write_varint
from gateway.inference.errors import MalformedRequest, UnsupportedParameter
from gateway.inference.oip import MAX_TENSORS, OipCodec
from gateway.inference.tensors import DTYPES, to_binary
from tests.gateway.grpc.door import request
from tests.gateway.grpc.protocol_buffers import ANSWERS, CONTENTS, VALUES, message, plain

NUMBERS = [name for name in FIELD_OF if name != "BYTES"]
SHAPES = st.lists(st.integers(0, 4), max_size=3)
IDS = st.text(max_size=20)


def decode(data: bytes) -> Any:
    return GrpcCodec().decode(data)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from([*FIELD_OF]))
    shape = draw(SHAPES)
    count = int(np.prod(shape, dtype=int))
    if datatype == "BYTES":
        texts = draw(st.lists(st.text(max_size=5), min_size=count, max_size=count))
        array = np.empty(count, object)
        array[:] = texts
        return datatype, array.reshape(shape)
    dtype = DTYPES[datatype]
    data = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    array = np.frombuffer(data, np.uint8) % 2 if dtype.kind == "b" else np.frombuffer(data, dtype)
    return datatype, array.astype(dtype).reshape(shape)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Bit for bit, but for those of not-a-number, which do not survive a `float`."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind == "f":
        none = np.isnan(left)
        left, right = np.where(none, 0, left), np.where(np.isnan(right) & none, 0, right)
    return to_binary(left) == to_binary(right)


@given(
    st.lists(tensors(), max_size=3), st.booleans(), IDS, st.none() | st.text(min_size=1, max_size=9)
)
def test_what_protobuf_writes_is_read(
    given_: list[tuple[str, np.ndarray]], raw: bool, id: str, purpose: str | None
) -> None:
    made = message("ModelInferRequest")
    made.model_name, made.model_version, made.id = "m", "2", id
    if purpose is not None:
        made.parameters["purpose"].string_param = purpose
    made.parameters["priority"].int64_param = -1
    for number, (datatype, array) in enumerate(given_):
        tensor = made.inputs.add(name=str(number), datatype=datatype, shape=list(array.shape))
        tensor.parameters["hint"].double_param = 0.5
        if raw:
            made.raw_input_contents.append(to_binary(array))
        else:
            values = [v.encode() for v in array.ravel()] if datatype == "BYTES" else array.ravel()
            getattr(tensor.contents, CONTENTS[FIELD_OF[datatype]]).extend(list(values))
    made.outputs.add(name="out")
    data = made.SerializeToString()
    assert names_so_far(data, whole=True) == ("m", "2")
    found = decode(data)
    assert (found.id, found.purpose, found.outputs) == (id, purpose, ("out",))
    for number, (_, array) in enumerate(given_):
        assert same(found.inputs[str(number)], array)


@given(st.lists(tensors(), max_size=3), IDS)
def test_what_is_written_protobuf_reads(given_: list[tuple[str, np.ndarray]], id: str) -> None:
    outputs = {str(number): array for number, (_, array) in enumerate(given_)}
    parts = respond("m", "1", id, outputs, {"a": "b", "c": True}, {})
    read = message("ModelInferResponse")
    read.ParseFromString(b"".join(parts))
    assert (read.model_name, read.model_version, read.id) == ("m", "1", id)
    assert read.parameters["a"].string_param == "b"
    assert read.parameters["c"].bool_param is True
    for (datatype, array), told, content in zip(
        given_, read.outputs, read.raw_output_contents, strict=True
    ):
        assert (told.datatype, list(told.shape)) == (datatype, list(array.shape))
        assert content == to_binary(array)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_malformed(data: bytes) -> None:
    for read in (decode, messages.named, messages.only_ready):
        try:
            read(data)
        except (MalformedRequest, UnsupportedParameter):
            continue


@given(st.data())
def test_a_damaged_request_is_a_request_or_malformed(data: st.DataObject) -> None:
    whole = bytearray(request(id="x", purpose="care"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        names_so_far(cut, whole=False)
        decode(cut)
    except MalformedRequest:
        pass


@given(st.sampled_from(NUMBERS), st.binary(max_size=100), SHAPES)
def test_any_contents_are_of_their_datatype_and_shape(
    datatype: str, packed: bytes, shape: list[int]
) -> None:
    contents = memoryview(write_bytes(FIELD_OF[datatype], packed))
    try:
        found = from_contents(datatype, shape, contents)
    except MalformedRequest:
        return
    assert (found.dtype, list(found.shape)) == (DTYPES[datatype], shape)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        *(("INT8", 128), ("INT8", -129), ("UINT8", 256), ("INT16", 1 << 15), ("INT32", 1 << 31)),
        *(("UINT32", 1 << 32), ("BOOL", 2), ("UINT8", -1)),
    ],
)
def test_a_number_out_of_range_does_not_wrap(datatype: str, value: int) -> None:
    contents = memoryview(write_bytes(FIELD_OF[datatype], write_varint(value)))
    with pytest.raises(MalformedRequest):
        from_contents(datatype, [1], contents)


def test_numbers_in_many_blocks_are_read() -> None:
    values = np.arange(BLOCK, dtype=np.int64) * 37 - 5_000_000
    packed = b"".join(map(write_varint, values.tolist()))
    assert len(packed) > 2 * BLOCK
    found = from_contents("INT64", [len(values)], memoryview(write_bytes(3, packed)))
    assert np.array_equal(found, values)


def test_numbers_one_by_one_are_read_as_packed_ones_are() -> None:
    each = b"".join(b"\x35" + struct.pack("<f", value) for value in (1.5, 2.5))
    assert from_contents("FP32", [2], memoryview(each)).tolist() == [1.5, 2.5]
    each = b"\x18\x07" + write_bytes(3, b"\x08\x09")
    assert from_contents("INT64", [3], memoryview(each)).tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (write_bytes(5, b"") * (MAX_TENSORS + 1), "too many tensors"),
        (write_bytes(6, b"") * (MAX_TENSORS + 1), "too many tensors"),
        (write_bytes(4, b"") * (MAX_PARAMETERS + 1), "too many parameters"),
        (write_bytes(9, b"") * 10_000, "too many fields"),
        (write_bytes(5, write_bytes(3, b"\x01" * 9)), "too many dimensions"),
        (
            write_bytes(5, b"\x12\x04FP32" + write_bytes(3, b"\x7f" * 8)),
            "too many elements",
        ),
        (write_bytes(5, b"") * 2 + write_bytes(7, b""), "raw_input_contents"),
        (request(subject=True), "short text"),
        (request(purpose=""), "short text"),
        (request(sequence_start=True), "sequences"),
        (b"\x0b", "not a valid"),
    ],
)
def test_what_is_refused_says_why(content: bytes, told: str) -> None:
    with pytest.raises((MalformedRequest, UnsupportedParameter), match=told):
        decode(content)


def wanted(**stated: Any) -> bytes:
    """A request that wants the output `p`, with a parameter of each kind."""
    made = message("ModelInferRequest")
    parameters = made.outputs.add(name="p").parameters
    for name, (kind, value) in stated.items():
        setattr(parameters[name], f"{kind}_param", value)
    data: bytes = made.SerializeToString()
    return data


def test_what_would_change_the_meaning_of_a_tensor_is_refused() -> None:
    with pytest.raises(UnsupportedParameter, match="not offered"):
        decode(wanted(shared_memory_region=("string", "r")))


@pytest.mark.parametrize(
    ("kind", "value", "count"),
    [("int64", 2, 2), ("uint64", 3, 3), ("int64", 10**9, 10**9), ("int64", 0, 0)],
)
def test_a_number_of_classes_is_read(kind: str, value: int, count: int) -> None:
    found = decode(wanted(classification=(kind, value)))
    assert (found.outputs, found.classes) == (("p",), {"p": count} if count else {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("int64", -1), ("int64", -(1 << 63)), ("uint64", (1 << 64) - 1)),
        *(("bool", True), ("double", 2.0), ("string", "2")),
    ],
)
def test_a_number_of_classes_is_a_positive_integer(kind: str, value: object) -> None:
    with pytest.raises(MalformedRequest, match="number of classes"):
        decode(wanted(classification=(kind, value)))


def test_one_output_is_told_as_classes_and_the_others_as_they_are() -> None:
    made = message("ModelInferRequest")
    made.outputs.add(name="p").parameters["classification"].int64_param = 2
    made.outputs.add(name="q")
    codec = GrpcCodec()
    codec.decode(made.SerializeToString())
    outputs: dict[str, Any] = {
        "p": np.array([[1, 4, 2]], np.float32),
        "q": np.array([[7]], np.int64),
    }
    parts = codec.render("m", "1", outputs, {}, {"p": "FP32", "q": "INT64"})
    read = message("ModelInferResponse")
    read.ParseFromString(b"".join(parts))
    described = [(one.name, one.datatype, list(one.shape)) for one in read.outputs]
    assert described == [("p", "BYTES", [1, 2]), ("q", "INT64", [1, 1])]
    assert list(read.raw_output_contents) == [
        b"\x05\0\0\x004.0:1\x05\0\0\x002.0:2",
        np.array([7], "<i8").tobytes(),
    ]


@pytest.mark.parametrize(
    ("count", "rows", "long"), [(0, 5000, False), (3, 5000, True), (3, 9, False)]
)
def test_many_classes_take_long_though_their_values_are_few(
    count: int, rows: int, long: bool
) -> None:
    outputs: dict[str, Any] = {"p": np.zeros((rows, 3), np.float32)}
    codec = GrpcCodec()
    codec.decode(wanted(classification=("int64", count)))
    assert codec.takes_long(outputs) is long
    over_http = OipCodec(None)
    stated = {"classification": count} if count else {"binary_data": True}
    over_http.decode(orjson.dumps({"inputs": [], "outputs": [{"name": "p", "parameters": stated}]}))
    assert over_http.takes_long(outputs) is long


def test_the_subjects_of_rows_are_taken_out() -> None:
    made = message("ModelInferRequest")
    tensor = made.inputs.add(name="sealgate_subject", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend([b"a", b"b"])
    found = decode(made.SerializeToString())
    assert (found.subjects, found.inputs) == (("a", "b"), {})


def test_names_are_read_from_the_beginning_only() -> None:
    whole = request(version="3")
    assert names_so_far(whole[:3], whole=False) is None
    assert names_so_far(whole[:30], whole=False) == ("m", "3")
    assert names_so_far(b"\x2a\x00" + whole, whole=False) == ("m", "3")
    assert names_so_far(b"\x2a\x00", whole=True) == ("", None)


@pytest.mark.parametrize("table", ["SERVER", "MODEL", "INDEX", "CONFIGURATION", "STATISTICS"])
def test_tables_have_the_numbers_that_protobuf_has(table: str) -> None:
    """The names and numbers are stated twice, here and in `protocol_buffers`, by two hands."""
    read = message(ANSWERS[table])
    read.ParseFromString(write(getattr(messages, table), VALUES[table]))
    told = MessageToDict(read, preserving_proto_field_name=True)
    assert plain(told) == plain(VALUES[table])


def test_a_message_of_empty_messages_costs_what_is_read_of_it() -> None:
    content = memoryview(write_bytes(5, b"") * 500)
    assert sum(1 for _ in fields(content, 500)) == 500
