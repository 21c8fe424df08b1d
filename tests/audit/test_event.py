from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import EventInvalid
from audit.event import (
    MAX_EVENT_BYTES,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    Event,
    FederatedPart,
    Screening,
    columns,
    decode,
    encode,
    new_event_id,
)
from tests.audit.samples import event, ref


def test_an_event_comes_back_from_its_bytes() -> None:
    whole = event(
        subject_refs=(ref(1), ref(2)),
        policy_ids=("platform.1",),
        screening=Screening(profile="p", bucket="0.1-0.5", rules=("r",), atlas=("AML.T0043",)),
        fl=FederatedPart(federation="f", round=2, site="s", n_examples=10, eps=0.5, delta=1e-5),
        art22=True,
    )
    assert decode(encode(whole)) == whole


def test_defaults_take_no_room() -> None:
    fields = json.loads(encode(event()))
    assert "reason" not in fields
    assert "sealed_commit" not in fields


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "maybe"},
        {"phase": "middle"},
        {"tenant": "Acme"},
        {"tenant": "acme\n"},
        {"tenant": ""},
        {"id": "1"},
        {"id": "0190163D-8694-739B-AEA5-966C26F8AD91"},
        {"ts": -1},
        {"ts": 2**63},
        {"ts": "now"},
        {"reason": "x" * (MAX_TEXT_CHARS + 1)},
        {"reason": 1},
        {"reason": "\ud800"},
        {"latency_us": 0.5},
        {"policy_ids": ("x",) * (MAX_ITEMS + 1)},
        {"subject_refs": ("somebody@example.org",)},
        {"policy_ids": ("x" * MAX_TEXT_CHARS,) * 64},
        {"pruned": ((-1, 2),)},
        {"v": 2},
        {"resource": object()},
    ],
)
def test_what_breaks_a_bound_is_not_encoded(fields: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid):
        encode(event(**fields))


def test_the_most_subjects_of_a_batch_fit() -> None:
    body = encode(event(subject_refs=tuple(ref(n) for n in range(MAX_ITEMS))))
    assert len(body) <= MAX_EVENT_BYTES


@given(st.binary(max_size=200))
def test_any_bytes_end_as_an_event_or_as_our_error(body: bytes) -> None:
    with pytest.raises(EventInvalid):
        decode(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Event.__struct_fields__), _json))
def test_any_fields_end_as_an_event_or_as_our_error(fields: dict[str, object]) -> None:
    base = msgspec.to_builtins(event())
    try:
        found = decode(json.dumps(base | fields).encode())
    except EventInvalid:
        return
    assert decode(encode(found)) == found


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(EventInvalid):
        decode(b'{"fl":' + b"[" * 60_000)


def test_columns_are_those_of_the_event() -> None:
    found = columns(event(actor_ref="a", action="b", outcome="deny", model_id="c", ts=5))
    assert found == (5, "a", "b", "deny", "c")


def test_event_ids_are_uuid_version_7_and_in_order_of_time() -> None:
    first = new_event_id(lambda: 1_700_000_000.001, lambda n: b"\xff" * n)
    second = new_event_id(lambda: 1_700_000_000.002, lambda n: b"\x00" * n)
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert int(first[:8] + first[9:13], 16) == 1_700_000_000_001
    assert first < second
