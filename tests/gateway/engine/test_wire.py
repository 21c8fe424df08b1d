from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine import wire
from gateway.engine.texts import pack_texts, unpack_texts

START, END = 1000, 1 << 20
Sized = tuple[int, int, tuple[int, ...], int]
TENSORS = st.lists(
    st.tuples(
        st.integers(0, 65535),
        st.integers(0, len(wire.DATATYPES) - 1),
        st.lists(st.integers(0, 4), max_size=5).map(tuple),
    ),
    max_size=8,
)


def sized(index: int, datatype: int, shape: tuple[int, ...]) -> Sized:
    count = math.prod(shape)
    if datatype == wire.TEXT:
        return index, datatype, shape, 4 * count + 3
    return index, datatype, shape, count * wire.NUMPY[wire.DATATYPES[datatype]].itemsize


@given(TENSORS)
def test_a_head_is_read_as_it_was_written(
    tensors: list[tuple[int, int, tuple[int, ...]]],
) -> None:
    placed = wire.place([sized(*tensor) for tensor in tensors], START, END)
    assert placed is not None
    head = wire.encode_head(wire.DONE, placed)
    assert wire.decode_head(head + b"rest", START, END) == (wire.DONE, placed)
    for before, after in pairwise(placed):
        assert before.start + before.length <= after.start
    assert all(tensor.start >= START and tensor.start % wire.ALIGNMENT == 0 for tensor in placed)


@given(st.binary(max_size=200))
def test_whatever_an_engine_writes_lies_inside_the_region_or_is_refused(head: bytes) -> None:
    try:
        _, placed = wire.decode_head(head, START, END)
    except wire.WireError:
        return
    for tensor in placed:
        assert START <= tensor.start <= tensor.start + tensor.length <= END
        if tensor.datatype != wire.TEXT:
            itemsize = wire.NUMPY[wire.DATATYPES[tensor.datatype]].itemsize
            assert tensor.length == math.prod(tensor.shape) * itemsize


@pytest.mark.parametrize(
    "tensor",
    [
        (0, 10, (2, 2), 17),  # not what the shape needs
        (0, 10, (-1,), 4),
        (0, 14, (1,), 4),  # no such datatype
        (0, wire.TEXT, (1 << 40,), 4),  # more elements than bytes
        (0, 10, (1 << 62, 1 << 62), 0),  # the product is beyond 64 bits
        (0, 1, (END,), END),  # beyond the region
    ],
    ids=str,
)
def test_a_lie_about_a_tensor_is_refused(tensor: tuple[int, int, tuple[int, ...], int]) -> None:
    index, datatype, shape, length = tensor
    lying = wire.Placed(index, datatype, shape, START, length)
    with pytest.raises(wire.WireError):
        wire.decode_head(wire.encode_head(wire.DONE, [lying]), START, END)


def test_what_does_not_fit_has_no_place() -> None:
    assert wire.place([(0, 1, (END,), END)], START, END) is None


def test_more_tensors_than_a_head_holds_are_refused() -> None:
    many = [wire.Placed(0, 1, (), START, 1)] * (wire.MAX_TENSORS + 1)
    with pytest.raises(wire.WireError):
        wire.encode_head(wire.DONE, many)


@given(st.lists(st.text(max_size=20), max_size=8))
def test_texts_come_back(texts: list[str]) -> None:
    array = np.array(texts, dtype=object)
    assert unpack_texts(pack_texts(array), len(texts)).tolist() == texts


@given(st.binary(max_size=60), st.integers(0, 9))
def test_bytes_are_texts_or_refused(data: bytes, count: int) -> None:
    try:
        found = unpack_texts(data, count)
    except ValueError:
        return
    assert pack_texts(found) == data
