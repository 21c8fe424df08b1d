"""deploy/nginx.conf keeps its five promises, in a real nginx."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.deploy.nginx import Doors, certificate, running
from tests.ports import free_port

pytestmark = pytest.mark.e2e

PIECE = b"m" * 65536
PIECES = 32


class Backend(http.server.BaseHTTPRequestHandler):
    """Stands for the gateway: keeps the headers, tells when the first bytes of a body came."""

    protocol_version = "HTTP/1.1"
    seen: SimpleQueue[dict[str, str]]
    began: threading.Event

    def do_GET(self) -> None:
        """Refuse, as the gateway does when a rate is used up."""
        self.send_response(429)
        self.send_header("retry-after", "60")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        type(self).seen.put({name.lower(): value for name, value in self.headers.items()})
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, len(PIECE))))
            type(self).began.set()
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> type[Backend]:
    class Fresh(Backend):
        seen = SimpleQueue()
        began = threading.Event()

    return Fresh


def let_everybody_in(path: Path) -> None:
    """Nginx's workers are another user when it is started as root."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o055)


@pytest.fixture
def doors(backend: type[Backend], tmp_path: Path) -> Iterator[Doors]:
    let_everybody_in(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), backend)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    sites = socket.create_server(("127.0.0.1", 0))
    site_thread = threading.Thread(target=serve_one_tls_connection, args=(sites, tmp_path))
    site_thread.start()
    try:
        with running(tmp_path, gateway=server.server_port, sites=sites.getsockname()[1]) as opened:
            yield opened
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        sites.shutdown(socket.SHUT_RDWR)
        sites.close()
        site_thread.join()


def serve_one_tls_connection(listener: socket.socket, folder: Path) -> None:
    """Stands for the gateway's sites' door: ends TLS with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, "sites.test"))
    try:
        connection, _ = listener.accept()
    except OSError:
        return  # the test did not use this door
    # The caller only looks at the certificate and leaves without a word.
    with contextlib.suppress(OSError), connection:
        context.wrap_socket(connection, server_side=True).close()


def trusting_anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def common_name(port: int) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        trusting_anybody().wrap_socket(plain) as secured,
    ):
        presented = secured.getpeercert(binary_form=True)
        assert presented
        subject = x509.load_der_x509_certificate(presented).subject
        [attribute] = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(attribute.value)


def test_the_api_ends_here_and_the_sites_end_in_the_gateway(doors: Doors) -> None:
    assert common_name(doors.api) == "api.test"
    assert common_name(doors.sites) == "sites.test"


def test_a_caller_cannot_say_where_it_comes_from(doors: Doors, backend: type[Backend]) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", doors.api, context=trusting_anybody(), timeout=60
    )
    claims = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Port": "1",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
    }
    connection.request("POST", "/v2/models/m/infer", body=b"{}", headers=claims)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["strict-transport-security"]
    connection.close()
    seen = backend.seen.get(timeout=60)
    forwarding = {name: seen[name] for name in seen if "forward" in name or "real" in name}
    assert forwarding == {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https"}


def test_what_a_stock_client_and_a_bound_token_need_comes_through(
    doors: Doors, backend: type[Backend]
) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", doors.api, context=trusting_anybody(), timeout=60
    )
    needed = {
        "authorization": "DPoP " + "t" * 3000,
        "dpop": "p" * 3000,
        "inference-header-content-length": "2",
        "idempotency-key": "k",
    }
    connection.request("POST", "/v2/models/m/infer", body=b"{}", headers=needed)
    assert connection.getresponse().status == 200
    connection.close()
    seen = backend.seen.get(timeout=60)
    assert {name: seen.get(name) for name in needed} == needed


def test_an_upload_reaches_the_gateway_before_it_ended_and_no_file(
    doors: Doors, backend: type[Backend], tmp_path: Path
) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", doors.api, context=trusting_anybody(), timeout=60
    )
    connection.putrequest("POST", "/v1/uploads")
    connection.putheader("content-length", str(len(PIECE) * PIECES))
    connection.endheaders()
    for _ in range(PIECES - 1):
        connection.send(PIECE)
    assert backend.began.wait(timeout=60), "the body is held back until it is whole"
    spool = [tmp_path / name for name in ("body", "proxy")]
    assert not [path for folder in spool for path in folder.rglob("*") if path.is_file()]
    connection.send(PIECE)
    assert connection.getresponse().status == 200
    connection.close()


def asked(port: int) -> http.client.HTTPResponse:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=trusting_anybody(), timeout=60
    )
    connection.request("GET", "/v2")
    answer = connection.getresponse()
    connection.close()
    return answer


def test_what_the_gateway_says_of_coming_back_is_said_once(doors: Doors) -> None:
    answer = asked(doors.api)
    assert answer.status == 429
    assert answer.headers.get_all("retry-after") == ["60"]
    assert answer.headers["strict-transport-security"]


def test_a_gateway_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    let_everybody_in(tmp_path)
    with running(tmp_path, gateway=free_port(), sites=free_port()) as opened:
        answer = asked(opened.api)
    assert (answer.status, answer.headers.get_all("retry-after")) == (502, ["5"])


def test_too_many_connections_of_one_address_are_told_when_to_come_back(tmp_path: Path) -> None:
    let_everybody_in(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running(tmp_path, gateway=silent.getsockname()[1], sites=free_port(), callers=1) as opened,
        socket.create_connection(("127.0.0.1", opened.api), timeout=60) as plain,
        trusting_anybody().wrap_socket(plain) as holder,
    ):
        holder.sendall(b"GET /v2 HTTP/1.1\r\nhost: g\r\n\r\n")
        passed_on, _ = silent.accept()  # from now on it counts
        with passed_on:
            answer = asked(opened.api)
    assert (answer.status, answer.headers.get_all("retry-after")) == (429, ["1"])
