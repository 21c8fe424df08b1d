from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.federation.node_keys import canonical_node_key, node_key_of_header, signed_recently

NOW = 1_700_000_000.0
KEY = ec.generate_private_key(ec.SECP384R1())
PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
LINE = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode()
)


def _signed(at: float) -> tuple[str, str]:
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    signature = KEY.sign(stamp.encode(), ec.ECDSA(hashes.SHA256()))
    return stamp, base64.b64encode(signature).decode()


def test_one_key_has_one_form() -> None:
    forms = [LINE, f"{LINE} node@st-mary", PEM.decode(), f"  {LINE}\n"]
    assert {canonical_node_key(form) for form in forms} == {LINE}
    assert node_key_of_header(base64.b64encode(PEM).decode()) == LINE


@pytest.mark.parametrize(
    "other", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_other_kinds_of_keys_are_refused(other: ec.EllipticCurvePrivateKey) -> None:
    line = other.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    with pytest.raises(InvalidRequest):
        canonical_node_key(line.decode())


@given(st.text(max_size=2000) | st.binary(max_size=600).map(lambda b: base64.b64encode(b).decode()))
def test_any_text_is_a_key_or_our_refusal(text: str) -> None:
    for read in (canonical_node_key, node_key_of_header):
        with pytest.raises(InvalidRequest):
            read(text)


def test_a_fresh_signature_proves_possession() -> None:
    assert signed_recently(LINE, *_signed(NOW), NOW)
    assert not signed_recently(LINE, *_signed(NOW - 301), NOW)
    assert not signed_recently(LINE, *_signed(NOW + 301), NOW)
    stamp, signature = _signed(NOW)
    assert not signed_recently(LINE, stamp.replace("+00:00", ""), signature, NOW)
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    line = other.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert not signed_recently(line.decode(), stamp, signature, NOW)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_headers_are_a_no_and_never_a_fault(stamp: str, signature: str) -> None:
    assert not signed_recently(LINE, stamp, signature, NOW)
