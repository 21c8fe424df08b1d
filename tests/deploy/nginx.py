"""Runs deploy/nginx.conf as it is, with the addresses of a test put in."""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.deploy.lockfile import ROOT
from tests.tools import require_tool

# Debian builds the stream module apart; the official image has it inside.
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


@dataclass(frozen=True, slots=True)
class Doors:
    api: int
    sites: int


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for `name`, signed by itself; returns it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def adapted(folder: Path, *, gateway: int, sites: int, doors: Doors) -> Path:
    """Write the configuration with the test's ports, files and addresses; nothing else changes."""
    chain, key = certificate(folder, "api.test")
    text = (ROOT / "deploy/nginx.conf").read_text()
    for old, new in (
        ("/tmp/", f"{folder}/"),
        ("/run/secrets/api_certificate", str(chain)),
        ("/run/secrets/api_key", str(key)),
        ("server gateway:8080;", f"server 127.0.0.1:{gateway};"),
        ("proxy_pass gateway:8443;", f"proxy_pass 127.0.0.1:{sites};"),
        ("listen 8443 ", f"listen 127.0.0.1:{doors.api} "),
        ("listen 9443;", f"listen 127.0.0.1:{doors.sites};"),
        ("worker_processes auto;", "worker_processes 1;"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def command(configuration: Path, *more: str) -> list[str]:
    module = f"load_module {STREAM_MODULE}; " if STREAM_MODULE.exists() else ""
    prefix = str(configuration.parent)
    return [
        require_tool("nginx"),
        *("-p", prefix, "-c", str(configuration), "-e", "stderr", "-g", f"{module}daemon off;"),
        *more,
    ]


def free_ports() -> Doors:
    loopback = ("127.0.0.1", 0)
    with socket.create_server(loopback) as one, socket.create_server(loopback) as two:
        return Doors(one.getsockname()[1], two.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path, *, gateway: int, sites: int) -> Iterator[Doors]:
    """Run nginx in front of two ports of loopback until the block ends."""
    doors = free_ports()
    configuration = adapted(folder, gateway=gateway, sites=sites, doors=doors)
    checked = subprocess.run(command(configuration, "-t"), capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    child = subprocess.Popen(command(configuration))
    try:
        _wait_for(doors.api, child)
        yield doors
    finally:
        child.terminate()
        child.wait(timeout=10)


def _wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert child.poll() is None, "nginx ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.05):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.05)
    raise AssertionError("nginx did not open its door")
