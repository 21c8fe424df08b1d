from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from federated.fleet import HOLDING_PATH, KEY_HEADER, PATHS, may_pass, node_key


def header(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> dict[str, str]:
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {KEY_HEADER: base64.b64encode(pem).decode()}


def test_key_is_found_in_the_form_in_which_sites_register_it() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert node_key(header(key)) == line
    assert line.startswith("ecdsa-sha2-nistp384 ")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {KEY_HEADER: ""},
        {KEY_HEADER: "%%%"},
        {KEY_HEADER: "A" * 5000},
        header(ec.generate_private_key(ec.SECP256R1()).public_key()),
        header(ed25519.Ed25519PrivateKey.generate().public_key()),
    ],
)
def test_other_keys_are_none(headers: dict[str, str]) -> None:
    assert node_key(headers) is None


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode()))
def test_any_header_ends_as_a_key_or_none(value: str) -> None:
    assert node_key({KEY_HEADER: value}) is None


def test_paths() -> None:
    assert HOLDING_PATH in PATHS
    assert may_pass("POST", "/v1/fleet/pull-messages")
    for method, path in [
        ("GET", "/v1/fleet/pull-messages"),
        ("POST", "/v1/fleet/register-node"),
        ("POST", "/v1/fleet/unregister-node"),
        ("POST", "/v1/fleet/"),
        ("POST", "/v1/fleet/../control/start-run"),
        ("POST", "/v1/control/start-run"),
        ("POST", "/v1/runtime/acquire-task"),
    ]:
        assert not may_pass(method, path)


def test_paths_are_those_of_flower() -> None:
    router = pytest.importorskip("flwr.superlink.routers.fleet.router").router
    stock = {route.path for route in router.routes}
    assert stock == PATHS | {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}
