"""The working place of the demo: a folder, its addresses, a certificate authority for its sites."""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import shutil
import socket
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.composition.bootstrap import Plan, found
from gateway.composition.environment import Environment
from gateway.doctor.folder import runs
from gateway.errors import ConfigurationError
from gateway.settings import SETTINGS_FILE

LOOPBACK: Final = "127.0.0.1"
MARK: Final = "demo.json"
PREFERRED_PORT: Final = 8080
PREFERRED_GRPC_PORT: Final = 8001
"""Where Triton listens, too."""
VALID_DAYS: Final = 30
ORIGIN: Final = "demo.sealgate"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of one demo is.

    Attributes:
        folder: Of the demo; `data` below it is the gateway's.
        port, grpc_port, operations_port, sites_port: On loopback.
        log_key: Verifies the platform's log.
    """

    folder: Path
    port: int
    grpc_port: int
    operations_port: int
    sites_port: int
    log_key: str

    @property
    def data(self) -> Path:
        """The gateway's data folder."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Address of the public door."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def operations_url(self) -> str:
        """Address of the operators' door."""
        return f"http://{LOOPBACK}:{self.operations_port}"

    @property
    def sites_address(self) -> str:
        """Host and port of the site door."""
        return f"{LOOPBACK}:{self.sites_port}"

    @property
    def ca_file(self) -> Path:
        """Certificate of the demo's own authority."""
        return self.folder / "ca.pem"

    def write_private(self, name: str, text: str) -> Path:
        """Write a file that only its owner reads."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return path


def prepare(folder: Path) -> Place:
    """Make a fresh place in `folder`, in place of an earlier demo's.

    Raises:
        ConfigurationError: The folder holds something else than a demo, or one that runs.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()) and not _is_demo(folder):
        raise ConfigurationError("the folder holds something else than a demo")
    if runs(folder / "data" / "lock"):
        raise ConfigurationError(
            "a demo runs in this folder already",
            "end it with Ctrl-C first, or give this one a folder of its own: --dir ANOTHER-FOLDER",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    port = free_port(PREFERRED_PORT)
    grpc_port = free_port(PREFERRED_GRPC_PORT)
    operations_port, sites_port = free_port(), free_port()
    _make_certificates(folder)
    settings: dict[str, str | int] = {
        "mode": "demo",
        "public_url": f"http://{LOOPBACK}:{port}",
        "audit_origin": ORIGIN,
        "port": port,
        "grpc_port": grpc_port,
        "operations_port": operations_port,
        "sites_port": sites_port,
        "sites_certificate": str(folder / "sites.pem"),
        "sites_key": str(folder / "sites.key"),
    }
    environment = Environment(time.time, time.monotonic, secrets.token_bytes)
    made = found(folder / "data", Plan(settings, "eu"), environment)
    return Place(folder, port, grpc_port, operations_port, sites_port, made.log_key)


def _is_demo(folder: Path) -> bool:
    """Tell whether the folder was made by an earlier demo, so that it may be replaced."""
    try:
        settings = tomllib.loads((folder / "data" / SETTINGS_FILE).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return settings.get("mode") == "demo"


def free_port(preferred: int = 0) -> int:
    """Return `preferred` if it can be had on loopback, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError("no port is free on this machine")


def _make_certificates(folder: Path) -> None:
    """Make an authority for this demo and a server certificate; the authority's key is not kept."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealgate demo authority")])
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    root = (
        certificate(authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address(LOOPBACK)), x509.DNSName("localhost")]
    )
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealgate demo site door")])
    server = (
        certificate(server_name, server_key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    (folder / "sites.pem").write_bytes(server.public_bytes(pem))
    key_file = os.open(folder / "sites.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(key_file, "wb") as file:
        file.write(
            server_key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
