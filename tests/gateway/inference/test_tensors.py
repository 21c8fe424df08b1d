from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.inference.errors import MalformedRequest
from gateway.inference.tensors import DTYPES, FEW, datatype_of, from_binary, from_json, to_binary

FIXED = sorted(set(DTYPES) - {"BYTES", "BF16"})


@given(st.sampled_from(FIXED), st.data())
def test_fixed_size_tensors_survive_both_forms(datatype: str, data: st.DataObject) -> None:
    array = data.draw(
        hnp.arrays(
            DTYPES[datatype],
            hnp.array_shapes(max_dims=4, max_side=5),
            elements={"allow_nan": False, "allow_infinity": False}
            if datatype.startswith("FP")
            else None,
        )
    )
    shape = list(array.shape)
    assert datatype_of(array) == datatype
    np.testing.assert_array_equal(from_binary(datatype, shape, memoryview(to_binary(array))), array)
    for form in (array, array.ravel()):
        text = json.dumps(form.astype(float if datatype == "FP16" else array.dtype).tolist())
        np.testing.assert_array_equal(from_json(datatype, shape, text.encode()), array)


@given(st.lists(st.floats(width=64, allow_nan=False, allow_infinity=False), min_size=1))
@example([3.4028235677973362e38])  # the largest that is rounded to a number of FP32
@example([3.4028235677973366e38])
@example([-1e300, 0.0])
@example([1.401298464324817e-45 / 2, -0.0])
def test_few_numbers_are_rounded_as_many_are(values: list[float]) -> None:
    """Two conversions, one for requests of a row: which of them is taken must not be seen."""
    many = values + [0.0] * (FEW + 1)

    def read(numbers: list[float]) -> bytes | None:
        try:
            return from_json("FP32", [len(numbers)], json.dumps(numbers).encode()).tobytes()
        except MalformedRequest:
            return None

    few, whole = read(values[:FEW]), read(many)
    if len(values) <= FEW:
        assert few == (None if whole is None else whole[: 4 * len(values)])


@given(st.lists(st.text(max_size=20), max_size=6))
def test_texts_survive_both_forms(texts: list[str]) -> None:
    array = np.array(texts, dtype=np.object_)
    raw = memoryview(to_binary(array))
    assert from_binary("BYTES", [len(texts)], raw).tolist() == texts
    assert from_json("BYTES", [len(texts)], json.dumps(texts).encode()).tolist() == texts


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", [1], b'["1"]'),
        ("FP32", [1], b"[true]"),
        ("FP32", [1], b"[null]"),
        ("FP32", [1], b"[NaN]"),
        ("FP32", [1], b"[1e400]"),
        ("FP32", [2], b"[[1], 2]"),
        ("FP32", [1], b"{}"),
        ("FP32", [1], b"[" * 100_000),
        ("FP32", [1, 2], b"[1]"),
        ("FP32", [1], b"[1, 2]"),
        ("FP32", [10**9], b"[1]"),
        ("FP32", [2**31, 2**31], b"[]"),
        ("FP32", [-1], b"[1]"),
        ("FP32", [1] * 9, b"[1]"),
        ("INT8", [1], b"[300]"),
        ("UINT8", [1], b"[-1]"),
        ("INT64", [1], b"[1.5]"),
        ("INT64", [1], b"[99999999999999999999999]"),
        ("BOOL", [1], b"[1]"),
        ("BYTES", [1], b"[1]"),
        ("FP8", [1], b"[1]"),
        ("BF16", [1], b'["1"]'),
        ("BF16", [1], b"[3.4e38]"),
        ("BF16", [1], b"[1e39]"),
        ("FP16", [1], b"[65520]"),
        ("FP32", [1], b"[1e39]"),
        ("", [1], b"[1]"),
    ],
)
def test_json_that_is_not_the_claimed_tensor_is_refused(
    datatype: str, shape: list[int], data: bytes
) -> None:
    with pytest.raises(MalformedRequest):
        from_json(datatype, shape, data)


@given(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(-2, 2**33), max_size=4), st.binary())
def test_any_binary_gives_an_array_of_the_claim_or_our_error(
    datatype: str, shape: list[int], data: bytes
) -> None:
    try:
        array = from_binary(datatype, shape, memoryview(data))
    except MalformedRequest:
        return
    assert list(array.shape) == shape
    assert array.dtype == DTYPES[datatype]


@given(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(-2, 4), max_size=3), st.binary())
def test_any_json_gives_an_array_of_the_claim_or_our_error(
    datatype: str, shape: list[int], data: bytes
) -> None:
    try:
        array = from_json(datatype, shape, data)
    except MalformedRequest:
        return
    assert list(array.shape) == shape
    assert array.dtype == DTYPES[datatype]


@pytest.mark.parametrize(
    "data",
    [b"[" + b"[]," * 1_000_000 + b"[]]", b"[" + b"1," * 1_000_000 + b"1]", b"[[[[[[[[1]]]]]]]]"],
)
def test_data_beyond_its_shape_is_refused_before_it_is_decoded(data: bytes) -> None:
    with pytest.raises(MalformedRequest, match="fill its shape"):
        from_json("FP32", [2], data)


def test_booleans_must_be_zero_or_one() -> None:
    with pytest.raises(MalformedRequest):
        from_binary("BOOL", [1], memoryview(b"\x02"))


def test_text_elements_must_not_reach_past_the_body() -> None:
    with pytest.raises(MalformedRequest):
        from_binary("BYTES", [1], memoryview(b"\xff\xff\xff\x7fab"))
    with pytest.raises(MalformedRequest):
        from_binary("BYTES", [1], memoryview(b"\x01\x00\x00\x00\xff"))
