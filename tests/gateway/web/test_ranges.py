from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.artifacts import Span, parse_range


@pytest.mark.parametrize(
    ("value", "span"),
    [
        (None, Span(0, 100, False)),
        ("bytes=0-", Span(0, 100, True)),
        ("bytes=10-19", Span(10, 20, True)),
        ("bytes=10-1000", Span(10, 100, True)),
        ("bytes=-5", Span(95, 100, True)),
        ("bytes=-500", Span(0, 100, True)),
        ("bytes=99-99", Span(99, 100, True)),
        ("bytes=100-", None),
        ("bytes=20-10", None),
        ("bytes=-0", None),
        ("bytes=-", Span(0, 100, False)),
        ("bytes=0-1,5-6", Span(0, 100, False)),
        ("lines=1-2", Span(0, 100, False)),
    ],
)
def test_one_range_is_sent_and_what_is_not_understood_is_ignored(
    value: str | None, span: Span | None
) -> None:
    assert parse_range(value, 100) == span


@given(st.text(max_size=64), st.integers(1, 10_000))
def test_a_span_is_never_outside(value: str, length: int) -> None:
    span = parse_range(value, length)
    assert span is None or 0 <= span.start < span.stop <= length
