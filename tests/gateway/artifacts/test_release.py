from __future__ import annotations

import base64
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import Manifest
from gateway.artifacts.release import load_release
from gateway.artifacts.signature import LinkStatement, sign_link
from tests.gateway.artifacts.test_manifest import GRAPH
from tests.gateway.artifacts.test_manifest import MANIFEST as UNENDING

KEY = Ed25519PrivateKey.generate()
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NOW = 1_800_000_000.0
MANIFEST = msgspec.structs.replace(UNENDING, expires=1_900_000_000)


def link_for(manifest: Manifest = MANIFEST, **changes: object) -> bytes:
    statement = LinkStatement(
        tenant="acme",
        model="triage",
        version="1.0",
        manifest=manifest.digest(),
        owner="c" * 64,
        payloads={"graph": "a" * 64},
        created=1_700_000_000,
    )
    return sign_link(KEY, msgspec.structs.replace(statement, **changes))


def test_a_released_version_is_loaded_and_knows_its_payloads() -> None:
    release = load_release(MANIFEST.encode(), link_for(), PEM, now=NOW)
    assert release.entry_for("a" * 64, "b" * 64) == GRAPH
    for digests in (("a" * 64, "a" * 64), ("b" * 64, "b" * 64)):
        with pytest.raises(StatementInvalid, match="no payload"):
            release.entry_for(*digests)


def test_the_document_that_the_gateway_serves_is_accepted() -> None:
    document = {"owner_bundle": "", "link": base64.b64encode(link_for()).decode()}
    load_release(MANIFEST.encode(), json.dumps(document).encode(), PEM, now=NOW)


def test_a_payload_that_the_link_does_not_name_is_refused() -> None:
    release = load_release(MANIFEST.encode(), link_for(payloads={"graph": "d" * 64}), PEM, now=NOW)
    with pytest.raises(StatementInvalid, match="no payload"):
        release.entry_for("a" * 64, "b" * 64)


def test_another_manifest_version_key_or_time_is_refused() -> None:
    other = msgspec.structs.replace(MANIFEST, created=1)
    for manifest, link, now, reason in (
        (other, link_for(), NOW, "not the one"),
        (MANIFEST, link_for(version="1.1"), NOW, "another version"),
        (MANIFEST, link_for(tenant="other"), NOW, "another version"),
        (MANIFEST, link_for(), 1_900_000_000.0, "expired"),
    ):
        with pytest.raises(StatementInvalid, match=reason):
            load_release(manifest.encode(), link, PEM, now=now)
    stranger = Ed25519PrivateKey.generate().public_key()
    pem = stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(StatementInvalid, match="not signed by this key"):
        load_release(MANIFEST.encode(), link_for(), pem, now=NOW)


def test_what_is_no_release_key_is_refused() -> None:
    curve = generate_private_key(SECP256R1()).public_key()
    pem = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for key in (b"", b"nonsense", pem):
        with pytest.raises(StatementInvalid, match="release key"):
            load_release(MANIFEST.encode(), link_for(), key, now=NOW)


@given(st.binary(max_size=100) | st.just(b'{"link":"!"}') | st.just(b"[" * 9999))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    for parts in ((data, link_for(), PEM), (MANIFEST.encode(), data, PEM)):
        with pytest.raises(StatementInvalid):
            load_release(*parts, now=NOW)
    with pytest.raises(StatementInvalid):
        load_release(MANIFEST.encode(), link_for(), data, now=NOW)
