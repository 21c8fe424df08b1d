from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts import dsse
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.signature import (
    LINK_LIMIT,
    LinkStatement,
    owner_statement,
    sign_link,
    verify_link,
    verify_owner_statement,
)

KEY = ec.generate_private_key(ec.SECP256R1())
CONTENT = {"graph.onnx": b"graph", "data/weights.bin": b"weights" * 1000}
FILES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
BUNDLE = owner_statement(FILES, KEY)
RELEASE = Ed25519PrivateKey.generate()
LINK = LinkStatement(
    tenant="acme",
    model="triage",
    version="1.0",
    manifest="a" * 64,
    owner="b" * 64,
    payloads={"graph": "c" * 64, "weights": "d" * 64},
    created=1_700_000_000,
    profile="e" * 64,
)


def pem(key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


VERIFIER = """
import sys
import model_signing.verifying as verifying
verifying.Config().use_elliptic_key_verifier(public_key=sys.argv[1]).verify(*sys.argv[2:])
"""
SIGNER = """
import sys
import model_signing.signing as signing
signing.Config().use_elliptic_key_signer(private_key=sys.argv[1]).sign(*sys.argv[2:])
"""


def model_signing(script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in CONTENT.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


@pytest.mark.e2e
@pytest.mark.clients
def test_the_public_verifier_accepts_our_statement_and_sees_changes(folder: Path) -> None:
    (folder / "key.pem").write_bytes(pem())
    (folder / "model.sig").write_text(json.dumps(BUNDLE))
    arguments = folder / "key.pem", folder / "model", folder / "model.sig"
    accepted = model_signing(VERIFIER, *arguments)
    assert accepted.returncode == 0, accepted.stderr
    (folder / "model" / "graph.onnx").write_bytes(b"graft")
    assert model_signing(VERIFIER, *arguments).returncode != 0


@pytest.mark.e2e
@pytest.mark.clients
def test_we_accept_what_the_public_signer_made(folder: Path) -> None:
    private = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "private.pem").write_bytes(private)
    signed = model_signing(SIGNER, folder / "private.pem", folder / "model", folder / "model.sig")
    assert signed.returncode == 0, signed.stderr
    bundle = json.loads((folder / "model.sig").read_bytes())
    verify_owner_statement(bundle, pem(), FILES)


def test_our_own_statement_verifies() -> None:
    verify_owner_statement(BUNDLE, pem(), FILES)
    verify_owner_statement(json.loads(json.dumps(BUNDLE)), pem(), FILES)


def test_other_files_are_refused() -> None:
    digest = hashlib.sha256(b"other").hexdigest()
    for files in ({}, {**FILES, "more": digest}, {"graph.onnx": FILES["graph.onnx"]},
                  {**FILES, "graph.onnx": digest}):  # fmt: skip
        with pytest.raises(StatementInvalid, match="other files"):
            verify_owner_statement(BUNDLE, pem(), files)


def test_another_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(StatementInvalid, match="not by this key"):
        verify_owner_statement(BUNDLE, pem(other), FILES)
    for key in (b"", b"nonsense", pem(ec.generate_private_key(ec.SECP384R1()))):
        with pytest.raises(StatementInvalid, match="public key"):
            verify_owner_statement(BUNDLE, key, FILES)


def signed(statement: object, kind: str = "application/vnd.in-toto+json") -> dict[str, Any]:
    """A statement of any content, rightly signed by the owner."""
    payload = json.dumps(statement).encode()
    signature = KEY.sign(dsse.preauthentication(kind, payload), ec.ECDSA(hashes.SHA256()))
    return {"dsseEnvelope": dsse.envelope(kind, payload, signature, "")}


def statement() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(base64.b64decode(BUNDLE["dsseEnvelope"]["payload"]))
    return raw


def test_a_rightly_signed_statement_of_another_kind_is_refused() -> None:
    verify_owner_statement(signed(statement()), pem(), FILES)
    for path, value in (
        (("_type",), "https://in-toto.io/Statement/v0.1"),
        (("predicateType",), "https://slsa.dev/provenance/v1"),
        (("subject",), []),
        (("subject", 0, "digest", "sha256"), "0" * 64),
        (("predicate", "resources"), []),
        (("predicate", "resources", 0, "algorithm"), "blake2b"),
        (("predicate", "resources", 0, "digest"), "A" * 64),
        (("predicate", "resources", 0, "name"), "graph.onnx"),
    ):
        changed: Any = statement()
        target = changed
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value
        with pytest.raises(StatementInvalid):
            verify_owner_statement(signed(changed), pem(), FILES)
    with pytest.raises(StatementInvalid):
        verify_owner_statement(signed(statement(), "application/json"), pem(), FILES)


def test_a_malformed_bundle_is_refused() -> None:
    change: Callable[[Any], object]
    for change in (
        lambda e: e.update(payload="é"),
        lambda e: e.update(payload=5),
        lambda e: e.update(signatures=[]),
        lambda e: e["signatures"].append(e["signatures"][0]),
        lambda e: e["signatures"][0].update(sig="!"),
        lambda e: e.update(payloadType="application/json"),
    ):
        bundle = copy.deepcopy(BUNDLE)
        change(bundle["dsseEnvelope"])
        with pytest.raises(StatementInvalid):
            verify_owner_statement(bundle, pem(), FILES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dsseEnvelope", "payload", "signatures"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_ends_as_our_error(value: object) -> None:
    with pytest.raises(StatementInvalid):
        verify_owner_statement(value, pem(), FILES)
    with pytest.raises(StatementInvalid):
        verify_owner_statement(signed(value), pem(), FILES)


def test_an_owner_must_sign_something_with_the_right_key() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        owner_statement({}, KEY)
    with pytest.raises(ValueError, match="SHA-256"):
        owner_statement({"x": "beef"}, KEY)
    with pytest.raises(ValueError, match="P-256"):
        owner_statement(FILES, ec.generate_private_key(ec.SECP384R1()))


def test_a_link_verifies_under_the_release_key_only() -> None:
    data = sign_link(RELEASE, LINK)
    assert verify_link(RELEASE.public_key(), data) == LINK
    with pytest.raises(StatementInvalid, match="not signed by this key"):
        verify_link(Ed25519PrivateKey.generate().public_key(), data)


def test_no_byte_of_a_link_can_be_changed_to_another_meaning() -> None:
    data = sign_link(RELEASE, LINK)
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1
        with contextlib.suppress(StatementInvalid):
            assert verify_link(RELEASE.public_key(), bytes(altered)) == LINK


def test_an_owner_signature_is_no_link() -> None:
    payload = msgspec.json.encode(LINK, order="sorted")
    kind = "application/vnd.in-toto+json"
    signature = RELEASE.sign(dsse.preauthentication(kind, payload))
    for claimed in (kind, "application/vnd.sealgate.link.v1+json"):
        data = json.dumps(dsse.envelope(claimed, payload, signature, "")).encode()
        with pytest.raises(StatementInvalid):
            verify_link(RELEASE.public_key(), data)


def test_a_link_that_breaks_a_rule_is_not_signed() -> None:
    changes: dict[str, Any]
    for changes in ({"manifest": "A" * 64}, {"payloads": {}}, {"tenant": "a/b"}):
        with pytest.raises(StatementInvalid):
            sign_link(RELEASE, msgspec.structs.replace(LINK, **changes))


@given(st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    for candidate in (data, data + b" " * (2 * LINK_LIMIT)):
        with pytest.raises(StatementInvalid):
            verify_link(RELEASE.public_key(), candidate)
