"""Runs deploy/nginx.conf as it is, with the addresses of a test put in."""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.deploy.lockfile import ROOT
from tests.ports import free_port
from tests.tools import lacking, require_tool

STREAM = "ngx_stream_module.so"
START_SECONDS = 240.0
"""Ends a hung test; it takes a small part of it beside other work."""


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


CERTIFICATES = "ssl_verify_client optional_no_ca;"


def adapted(
    folder: Path,
    *,
    gateway: int,
    sites: int,
    doors: Doors,
    callers: int,
    certificates: bool = False,
) -> Path:
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
        ("limit_conn callers 256;", f"limit_conn callers {callers};"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    assert f"# {CERTIFICATES}" in text
    if certificates:
        text = text.replace(f"# {CERTIFICATES}", CERTIFICATES)
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def loading_stream(nginx: str) -> str:
    """The directive that brings the stream module, where it is built apart, as Debian's is.

    The official image has it inside. Where there is none the test is skipped.
    """
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    options = dict(option.partition("=")[::2] for option in told.split())
    if options.get("--with-stream") == "":
        return ""
    module = Path(options.get("--modules-path", ""), STREAM)
    if not module.is_file():
        lacking("the stream module of `nginx`")
    return f"load_module {module}; "


def command(configuration: Path, *more: str) -> list[str]:
    nginx = require_tool("nginx")
    module = loading_stream(nginx)
    prefix = str(configuration.parent)
    return [
        nginx,
        *("-p", prefix, "-c", str(configuration), "-e", "stderr", "-g", f"{module}daemon off;"),
        *more,
    ]


def free_ports() -> Doors:
    return Doors(free_port(), free_port())


@contextlib.contextmanager
def running(
    folder: Path, *, gateway: int, sites: int, callers: int = 256, certificates: bool = False
) -> Iterator[Doors]:
    """Run nginx in front of two ports of loopback until the block ends.

    `callers`: connections that one address may have; `certificates`: clients may show some.
    """
    doors = free_ports()
    configuration = adapted(
        folder,
        gateway=gateway,
        sites=sites,
        doors=doors,
        callers=callers,
        certificates=certificates,
    )
    checked = subprocess.run(command(configuration, "-t"), capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    child = subprocess.Popen(command(configuration))
    try:
        _wait_for(doors.api, child)
        yield doors
    finally:
        child.terminate()
        child.wait(timeout=START_SECONDS)


def _wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert child.poll() is None, "nginx ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.05)
    raise AssertionError("nginx did not open its door")
