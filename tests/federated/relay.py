"""A relay as the gateway has one: TLS in front, `/v1/fleet/*` only, routed by node key."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import socket
import sys
from pathlib import Path

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federated.fleet import HOLDING_PATH, REQUEST_HEADERS, may_pass, node_key


class Relay:
    """`routes` is a JSON file: a node's OpenSSH key line → the fleet URL of its tenant."""

    def __init__(self, routes: Path) -> None:
        self._routes = routes
        self._client = httpx.AsyncClient(timeout=240.0)
        route = Route("/{path:path}", self.forward, methods=["GET", "POST", "PUT", "DELETE"])
        self.app = Starlette(routes=[route])

    async def forward(self, request: Request) -> Response:
        path = request.url.path
        routes = json.loads(self._routes.read_text())
        upstream = routes.get(node_key(request.headers) or "")
        if not may_pass(request.method, path):
            return Response(status_code=404)
        if upstream is None:
            return Response(status_code=401)
        call = asyncio.ensure_future(
            self._client.post(
                upstream + path,
                content=await request.body(),
                headers={k: request.headers[k] for k in REQUEST_HEADERS if k in request.headers},
            )
        )
        if path == HOLDING_PATH:
            # A held poll must end with its client, or it would take a message to nowhere.
            gone = asyncio.ensure_future(request.receive())
            await asyncio.wait({call, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not call.done():
                call.cancel()
                return Response(status_code=499)
        try:
            answer = await call
        except httpx.HTTPError:
            return Response(status_code=502)
        headers = {k: v for k, v in answer.headers.items() if k.startswith(("flwr", "content-ty"))}
        return Response(answer.content, answer.status_code, headers=headers)


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Write a test CA and a certificate of it for 127.0.0.1; gives CA, certificate, key."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = datetime.datetime.now(datetime.UTC)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    ca = (
        builder(name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .sign(ca_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    certificate = (
        builder(subject, key.public_key())
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, hashes.SHA256())
    )
    paths = folder / "ca.pem", folder / "relay.pem", folder / "relay.key"
    paths[0].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def main() -> None:
    """`relay.py SOCKET_FD CERTIFICATE KEY ROUTES`: serve until stopped."""
    descriptor, certificate, key, routes = sys.argv[1:]
    config = uvicorn.Config(
        Relay(Path(routes)).app,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="error",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main()
