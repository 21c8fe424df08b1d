from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import (
    MANIFEST_LIMIT,
    Manifest,
    PayloadEntry,
    TensorSpec,
    Trial,
    parse_manifest,
)

GRAPH = PayloadEntry(
    role="graph", digest="a" * 64, length=120, plain_digest="b" * 64, plain_length=88
)
MANIFEST = Manifest(
    tenant="acme",
    model="triage",
    version="1.0",
    payloads=(GRAPH,),
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 30)),),
    outputs=(TensorSpec(name="y", datatype="INT64", shape=(-1,)),),
    opset={"": 21},
    created=1_700_000_000,
    metrics={"auc": 0.97},
    licence="Apache-2.0",
)


def test_round_trip() -> None:
    data = MANIFEST.encode()
    assert parse_manifest(data) == MANIFEST
    assert MANIFEST.payload("graph") == GRAPH
    assert MANIFEST.payload("weights") is None


def test_the_digest_does_not_change_between_releases_of_this_code() -> None:
    assert MANIFEST.digest() == ("f52dff6dbca7cd257f645a7cfc6cff9d7020aad051d63e65baeb3798e56a1aa5")


def test_what_admission_learnt_travels_in_the_manifest() -> None:
    nodes = TensorSpec(
        name="nodes", datatype="BF16", shape=(-1, 8), symbols=("n", ""), allow_nan=True
    )
    scale = TensorSpec(name="k", datatype="FP32", shape=(1,), optional=True)
    trial = Trial(shapes={"nodes": (4, 8)}, values="ones")
    more = msgspec.structs.replace(MANIFEST, inputs=(nodes, scale), trial=trial)
    assert parse_manifest(more.encode()) == more
    assert b'"optional":false' not in more.encode(), "defaults are left out"


def altered(**changes: object) -> bytes:
    value = {**json.loads(MANIFEST.encode()), **changes}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_the_altering_itself_keeps_the_canonical_form() -> None:
    assert altered() == MANIFEST.encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "Acme"},
        {"tenant": "acme\n"},
        {"version": "../1"},
        {"payloads": []},
        {"payloads": [json.loads(msgspec.json.encode(GRAPH))] * 2},
        {"unknown": 1},
        {"created": -1},
        {"created": 1.5},
        {"format": 2},
        {"inputs": [{"name": "x", "datatype": "FLOAT", "shape": [1]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "symbols": ["a", "b"]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "optional": False}]},
        {"trial": {"shapes": {"x": [-2]}, "values": "zeros"}},
        {"trial": {"shapes": {"x": [1]}, "values": "guessed"}},
        {"metrics": {"auc": None}},
        {"metrics": {"auc": 1}},
        {"licence": ""},
    ],
)
def test_what_breaks_a_rule_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(StatementInvalid):
        parse_manifest(altered(**changes))


@pytest.mark.parametrize(
    "data",
    [
        MANIFEST.encode() + b"\n",
        MANIFEST.encode().replace(b'"acme"', b'"\\u0061cme"'),
        MANIFEST.encode().replace(b'"tenant":"acme"', b'"tenant":"acme","tenant":"acme"'),
        json.dumps(json.loads(MANIFEST.encode())).encode(),
        b" " * (MANIFEST_LIMIT + 1),
        b"[" * 100_000,
    ],
)
def test_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(StatementInvalid):
        parse_manifest(data)


def test_what_could_not_be_read_back_is_not_written() -> None:
    for changes in ({"tenant": "Acme"}, {"metrics": {"auc": 1}}, {"created": -1}):
        with pytest.raises(StatementInvalid):
            msgspec.structs.replace(MANIFEST, **changes).encode()
    with pytest.raises(ValueError, match="finite"):
        msgspec.structs.replace(MANIFEST, metrics={"auc": float("nan")})


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    with pytest.raises(StatementInvalid):
        parse_manifest(data)
