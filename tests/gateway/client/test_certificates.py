"""Networks that inspect TLS, and gateways with an authority of their own: what a caller is told."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.client import ProfileInvalid
from gateway.client.certificates import FILE, FOLDER, authorities_of, trust_of
from gateway.client.profile import Profile, load_profile
from gateway.demo.place import _make_certificates

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"items": []})

    def do_POST(self) -> None:
        self._answer({"access_token": "t", "expires_in": 300})

    def _answer(self, body: dict[str, object]) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def inspecting(folder: Path) -> Iterator[str]:
    """What stands in the way of a caller, with a certificate of its own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "sites.pem", folder / "sites.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def self_signed(folder: Path, name: str, begins: datetime.datetime) -> None:
    """Write a certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + 2 * DAY)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "sites.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "ca.pem").write_bytes(certificate.public_bytes(pem))
    private, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "sites.key").write_bytes(key.private_bytes(pem, private, plain))


def profile(folder: Path, url: str, **more: str) -> Profile:
    secret = folder / "app.secret"
    secret.write_text("s")
    secret.chmod(0o600)
    path = folder / "app.json"
    path.write_text(
        json.dumps({"url": url, "client_id": "app", "secret_file": "app.secret"} | more)
    )
    return load_profile(path)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    monkeypatch.delenv(FOLDER, raising=False)


def refused(known: Profile) -> CommandFailed:
    with Connection(known) as connection, pytest.raises(CommandFailed) as told:
        connection.get("/v1/models")
    return told.value


def test_a_network_that_inspects_tls_is_told_from_a_gateway_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that the gateway does not answer, and to start it."""
    _make_certificates(tmp_path)
    with inspecting(tmp_path) as url:
        told = refused(profile(tmp_path, url))
        assert told.code == ExitCode.UNVERIFIED
        assert "signed by nobody" in told.what
        assert FILE in told.advice
        assert "ca_file" in told.advice
        monkeypatch.setenv(FILE, str(tmp_path / "ca.pem"))
        with Connection(profile(tmp_path, url)) as connection:
            assert connection.get("/v1/models") == {"items": []}
        monkeypatch.delenv(FILE)
        with Connection(profile(tmp_path, url, ca_file="ca.pem")) as connection:
            assert connection.get("/v1/models") == {"items": []}


@pytest.mark.parametrize(
    ("name", "begins", "what", "advice"),
    [
        ("127.0.0.1", NOW - 9 * DAY, "has ended", "clock"),
        ("127.0.0.1", NOW + 9 * DAY, "not valid yet", "clock"),
        ("192.0.2.1", NOW - DAY, "for another name", "`url`"),
    ],
)
def test_a_certificate_that_does_not_hold_says_why(
    tmp_path: Path, name: str, begins: datetime.datetime, what: str, advice: str
) -> None:
    self_signed(tmp_path, name, begins)
    with inspecting(tmp_path) as url:
        told = refused(profile(tmp_path, url, ca_file="ca.pem"))
    assert what in told.what
    assert advice in told.advice


@pytest.mark.parametrize(("variable", "value"), [(FILE, "absent.pem"), (FOLDER, "absent")])
def test_a_variable_that_names_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A traceback of a library said that some file was not found."""
    known = profile(tmp_path, "https://127.0.0.1:1")
    monkeypatch.setenv(variable, str(tmp_path / value))
    with pytest.raises(CommandFailed, match=variable):
        Connection(known)
    with pytest.raises(ProfileInvalid, match=variable):
        authorities_of(known)


def test_a_variable_that_names_no_certificates_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    monkeypatch.setenv(FILE, str(nothing))
    with pytest.raises(ProfileInvalid, match=f"`{FILE}` cannot be used"):
        trust_of(profile(tmp_path, "https://127.0.0.1:1"))


def test_grpc_trusts_the_authority_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_certificates(tmp_path)
    known = profile(tmp_path, "https://127.0.0.1:1")
    assert authorities_of(known) is None
    monkeypatch.setenv(FILE, str(tmp_path / "ca.pem"))
    assert authorities_of(known) == tmp_path / "ca.pem"


def test_a_file_of_authorities_is_read_once_while_it_stays_the_same(tmp_path: Path) -> None:
    self_signed(tmp_path, "127.0.0.1", NOW - DAY)
    known = profile(tmp_path, "https://127.0.0.1:1", ca_file="ca.pem")
    first = trust_of(known)
    assert trust_of(known) is first
    (tmp_path / "ca.pem").unlink()
    self_signed(tmp_path, "127.0.0.1", NOW - DAY)
    assert trust_of(known).get_ca_certs(True) != first.get_ca_certs(True)


def test_for_an_address_without_tls_nobody_is_trusted(tmp_path: Path) -> None:
    trust = trust_of(profile(tmp_path, "http://127.0.0.1:1"))
    assert trust.get_ca_certs() == []
    assert trust.verify_mode is ssl.CERT_REQUIRED
    assert trust.check_hostname
