"""Whose word counts about what certificate a caller has shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.identity.client_certificate import ClientCertificate
from gateway.web.client_certificates import LINE, ClientCertificates, certificate_of
from tests.gateway.identity.certificates import SelfSigned

HEADER = "X-Client-Certificate"
NAME = HEADER.lower().encode()
SHOWN, OTHER = SelfSigned(), SelfSigned()
PROXY = "10.0.0.7"


def seen(
    peer: str,
    *headers: tuple[bytes, bytes],
    own: ClientCertificate | None = None,
    header: str = HEADER,
) -> Any:
    """Return what stands behind the layer: the certificate, and the headers that are left."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.extend([certificate_of(scope), scope["headers"]])

    layer = ClientCertificates(app, header=header, proxies=(PROXY, "192.0.2.0/24"))
    # `client` is what `X-Forwarded-For` may have made of it.
    scope = {"type": "http", "headers": list(headers), "client": (PROXY, 1), LINE: (peer, own)}
    asyncio.run(layer(scope, None, None))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("peer", [PROXY, "192.0.2.9", "::ffff:10.0.0.7"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    certificate, headers = seen(peer, (NAME, SHOWN.escaped), (b"accept", b"*/*"))
    assert certificate == ClientCertificate(SHOWN.der)
    assert headers == [(b"accept", b"*/*")]


@pytest.mark.parametrize("peer", ["10.0.0.8", "", "127.0.0.1", "unix:", "10.0.0.7.evil"])
def test_nobody_else_is_and_the_header_is_taken_out(peer: str) -> None:
    assert seen(peer, (NAME, SHOWN.escaped)) == [None, []]
    assert seen(peer, (NAME.upper(), SHOWN.escaped)) == [None, []]


def test_the_certificate_of_the_connection_goes_before_any_header() -> None:
    own = ClientCertificate(OTHER.der)
    assert seen(PROXY, (NAME, SHOWN.escaped), own=own) == [own, []]
    assert seen("198.51.100.1", own=own) == [own, []]


def test_a_repeated_or_empty_header_counts_as_none() -> None:
    assert seen(PROXY, (NAME, SHOWN.escaped), (NAME, OTHER.escaped)) == [None, []]
    assert seen(PROXY, (NAME, b"")) == [None, []]


def test_where_no_header_is_named_none_is_read() -> None:
    header = (NAME, SHOWN.escaped)
    assert seen(PROXY, header, header="") == [None, [header]]
