from __future__ import annotations

import socket
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from gateway.demo.place import LOOPBACK, Place, free_port, prepare
from gateway.errors import ConfigurationError
from gateway.process.ownership import owned
from gateway.settings import load_settings


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return prepare(tmp_path_factory.mktemp("demo") / "here")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_place_is_a_gateways_on_loopback(place: Place) -> None:
    settings = load_settings(place.data)
    assert settings.mode == "demo"
    assert (settings.host, settings.port) == (LOOPBACK, place.port)
    assert settings.public_url == place.url
    assert place.operations_url.endswith(f":{settings.operations_port}")
    assert place.sites_address.endswith(f":{settings.sites_port}")
    ports = {place.port, place.grpc_port, place.operations_port, place.sites_port}
    assert len(ports) == 4
    assert place.log_key.startswith("demo.sealgate/platform+")


def test_the_place_is_for_its_owner_only(place: Place) -> None:
    assert mode(place.folder) == 0o700
    assert mode(place.folder / "sites.key") == 0o600
    written = place.write_private("profiles/a.json", "one")
    assert (mode(written), mode(written.parent)) == (0o600, 0o700)
    assert place.write_private("profiles/a.json", "two").read_text() == "two"


def test_the_site_doors_certificate_is_accepted_by_those_who_trust_the_demo(place: Place) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(place.folder / "sites.pem", place.folder / "sites.key")
    trusting = ssl.create_default_context(cafile=str(place.ca_file))
    for name in (LOOPBACK, "localhost"):
        _shake_hands(served, trusting, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(served, trusting, "gateway.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(served, ssl.create_default_context(), LOOPBACK)


def _shake_hands(served: ssl.SSLContext, trusting: ssl.SSLContext, name: str) -> None:
    """Do a TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = served.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_the_authoritys_key_is_not_kept(place: Place) -> None:
    authority = x509.load_pem_x509_certificate(place.ca_file.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    keys = [path.name for path in place.folder.glob("*.key")]
    assert keys == ["sites.key"]


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    first = prepare(tmp_path / "demo")
    first.write_private("demo.json", "{}")
    second = prepare(tmp_path / "demo")
    assert not (tmp_path / "demo" / "demo.json").exists()
    assert second.log_key != first.log_key


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigurationError, match="something else"):
        prepare(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


def test_somebodys_project_with_a_folder_of_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigurationError, match="something else"):
        prepare(tmp_path)
    assert (tmp_path / "data" / "thesis.txt").exists()


def test_a_port_is_the_preferred_one_unless_it_is_taken() -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        other = free_port(taken)
        assert other != taken
    assert free_port(taken) == taken


def test_a_demo_that_runs_is_not_replaced_under_itself(tmp_path: Path) -> None:
    """Its folder was emptied while it was looked at, and its gateway went on without files."""
    before = prepare(tmp_path / "demo")
    with owned(before.data), pytest.raises(ConfigurationError, match="runs in this folder"):
        prepare(tmp_path / "demo")
    assert (before.data / "sealgate.toml").exists()
    prepare(tmp_path / "demo")
