from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.bounds import MAX_DEPTH, check_key, check_record, is_storable
from gateway.storage.errors import ValueRefused

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=20,
)


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_is_bounded() -> None:
    check_record(nested(MAX_DEPTH))
    with pytest.raises(ValueRefused):
        check_record(nested(MAX_DEPTH + 1))


@given(json_values)
def test_any_value_is_kept_or_refused(value: object) -> None:
    try:
        check_record(value)
    except ValueRefused:
        return
    texts = [value]
    while texts:
        item = texts.pop()
        if isinstance(item, str):
            assert "\0" not in item
            item.encode()
        elif isinstance(item, dict):
            texts += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            texts += item
        elif isinstance(item, int):
            assert -(2**63) <= item < 2**63


@given(st.lists(st.text(), max_size=4))
def test_a_key_is_refused_exactly_when_it_is_not_storable(parts: list[str]) -> None:
    if is_storable(*parts):
        check_key(*parts)
    else:
        with pytest.raises(ValueRefused):
            check_key(*parts)
