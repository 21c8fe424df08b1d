from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.strict_json import repeats_a_name, strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
)


@given(VALUES | st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_a_library_writes_is_read(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        try:
            data = text.encode()
        except UnicodeEncodeError:  # half a surrogate pair is no text
            continue
        assert strict_json(data) == value
        assert not repeats_a_name(data)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": [{"a": 1, "b": {"c": 1, "c": 1}}]}',
    ],
)
def test_a_name_given_twice_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="twice"):
        strict_json(text)
    assert repeats_a_name(text)


@pytest.mark.parametrize(
    "text",
    [
        b"-0",
        b'{"suspended": -0}',
        b"1e999",
        b"-1e999",
        b"9" * 5000,
        b"NaN",
        b"[Infinity]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"[" * 200_000,
        b'"\\ud800"',
        b'{"a": ["\\uDC00 x"]}',
        b'{"\\ud83d": 1}',
        b"{",
        b"",
    ],
)
def test_a_number_that_does_not_fit_and_what_is_no_json_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each says something else
        strict_json(text)
    assert not repeats_a_name(text)
