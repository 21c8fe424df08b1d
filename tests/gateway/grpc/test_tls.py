"""The door behind TLS: HTTP/2 is agreed on by its name (RFC 9113 section 3.2)."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.demo.place import _make_certificates
from gateway.grpc.status import Status
from tests.gateway.grpc.door import opened, request
from tests.gateway.inference.works import works


@pytest.mark.parametrize("names", [["h2"], ["h2", "http/1.1"], ["http/1.1"], []])
def test_only_who_agrees_on_http_2_is_served(tmp_path: Path, names: list[str]) -> None:
    _make_certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "sites.pem", tmp_path / "sites.key")
    server.set_alpn_protocols(["h2"])
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    if names:
        client.set_alpn_protocols(names)
    with works() as shop, opened(shop, tls=server) as door:
        shop.publish()
        with door.peer(tls=client) as peer:
            if "h2" in names:
                assert peer.call(request(), door.bearer()).status == Status.OK
            else:
                assert peer.end() is None
