"""A version under a kit: every way in which somebody could pass off another one."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.release_document import (
    CLOCK_LEEWAY,
    parse_release_document,
    verify,
)
from tests.gateway.artifacts.publisher import NOW, Tenant, public_pem

CLINIC = Tenant()
KIT = CLINIC.kit()
GOOD = CLINIC.publish()


def refused(published: object, reason: str, kit: object = KIT, now: float = NOW) -> None:
    with pytest.raises(StatementInvalid, match=reason):
        verify(published.document, kit, now=now)  # type: ignore[attr-defined, arg-type]


def test_a_version_that_owner_and_tenant_signed_verifies() -> None:
    found = verify(GOOD.document, KIT, now=NOW)
    assert found.release.manifest == GOOD.manifest
    assert found.owner_key in KIT.owner_keys
    assert parse_release_document(GOOD.document.encode()) == GOOD.document


def test_a_swapped_release_key_is_refused() -> None:
    """By an operator who signs everything anew with a key of their own."""
    swapped = Tenant("clinic", Ed25519PrivateKey.generate(), CLINIC.owner_key)
    refused(swapped.publish(), "not signed by this key")


def test_a_model_of_whoever_holds_the_release_key_but_is_no_owner_is_refused() -> None:
    stranger = Tenant("clinic", CLINIC.release_key)
    refused(stranger.publish(content=b"with a back door"), "owner whose key is not in the kit")


def test_a_manifest_of_another_tenant_version_or_model_is_refused() -> None:
    bank = Tenant("bank", CLINIC.release_key, CLINIC.owner_key)
    refused(bank.publish(), "another tenant's")
    refused(CLINIC.publish(version="1.0", tenant="bank"), "another version")
    other = CLINIC.publish(version="2.0")
    refused(GOOD.but(manifest=other.document.manifest), "not the one that was released")
    refused(GOOD.but(link=other.document.link), "not the one that was released")


def test_an_owners_signature_of_another_version_is_refused() -> None:
    other = CLINIC.publish(content=b"another model")
    refused(GOOD.but(owner_bundle=other.document.owner_bundle), "not the one that was released")
    key = public_pem(Tenant().owner_key).decode()
    refused(GOOD.but(owner_key=key), "not by this key")
    refused(GOOD.but(owner_key=GOOD.document.owner_key + key), "more than one")


def test_an_owners_bundle_with_extra_files_is_refused() -> None:
    files = {"model.onnx": b"a model", "weights.bin": b"more"}
    refused(CLINIC.publish(files=files), "the owner signed other files")
    refused(CLINIC.publish(files={"other.onnx": b"a model"}), "the owner signed other files")


def test_a_release_from_the_future_is_refused() -> None:
    """It would be the newest for ever, and shut out every one that follows."""
    verify(CLINIC.publish(created=NOW + CLOCK_LEEWAY).document, KIT, now=NOW)
    refused(CLINIC.publish(created=NOW + CLOCK_LEEWAY + 1), "from the future")


def test_a_document_with_more_in_it_than_it_should_is_refused() -> None:
    value = json.loads(GOOD.document.encode())
    value["attachment"] = "aGVsbG8="
    more = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    twice = GOOD.document.encode()[:-1] + b',"link":""}'
    for data in (more, twice, GOOD.document.encode() + b" "):
        with pytest.raises(StatementInvalid):
            parse_release_document(data)


@given(st.binary(max_size=200) | st.just(b"[" * 9999))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    with pytest.raises(StatementInvalid):
        parse_release_document(data)
    for part in ("manifest", "link", "owner_bundle"):
        with pytest.raises(StatementInvalid):
            verify(GOOD.but(**{part: data}).document, KIT, now=NOW)
    with pytest.raises(StatementInvalid):
        verify(GOOD.but(owner_key=data.decode("latin-1")).document, KIT, now=NOW)
