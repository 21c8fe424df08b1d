"""Clients that show a certificate: to nginx as we ship it, and to the gateway's own TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.place import _make_certificates
from tests.deploy.nginx import running
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, configure
from tests.e2e.test_signals_under_load import authority
from tests.gateway.identity.certificates import SelfSigned
from tests.ports import free_port

HEADER = "Sealgate-Client-Certificate"
MODEL = "/v2/models/digits"
FORM = {"grant_type": "client_credentials", "client_id": "shower", "scope": "infer"}
SHOWN, OTHER = SelfSigned("shower"), SelfSigned("other")


def register(house: House) -> None:
    with house.admin() as admin:
        admin.post(
            "/v1/clients",
            {
                "id": "shower",
                "name": "shows a certificate",
                "tenant": "clinic",
                "roles": ["caller"],
                "scopes": ["infer", "models"],
                "purposes": ["diagnosis"],
                "default_purpose": "diagnosis",
                "auth_method": "self_signed_tls_client_auth",
                "token_binding": "mtls",
                "jwks": SHOWN.jwks,
            },
        )


@contextmanager
def caller(
    url: str, trust: ssl.SSLContext, folder: Path, shown: SelfSigned | None = None
) -> Iterator[httpx.Client]:
    if shown is not None:
        trust.load_cert_chain(*shown.write(folder, "shown"))
    with httpx.Client(base_url=url, verify=trust, timeout=60) as client:
        yield client


def hold(url: str, make_trust: Any, folder: Path) -> str:
    """Hold a door to what certificates are for; return a token that is bound to one."""
    with ExitStack() as stack:
        mine, other, nobody = (
            stack.enter_context(caller(url, make_trust(), folder, shown))
            for shown in (SHOWN, OTHER, None)
        )
        token = str(mine.post("/oauth/token", data=FORM).raise_for_status().json()["access_token"])
        bearer = {"authorization": f"Bearer {token}"}
        forged = {HEADER: SHOWN.escaped.decode()}
        assert mine.get(MODEL, headers=bearer).status_code == 200
        for one in (other, nobody):
            assert one.post("/oauth/token", data=FORM).status_code == 401
            assert one.post("/oauth/token", data=FORM, headers=forged).status_code == 401
            assert one.get(MODEL, headers=bearer).status_code == 401
            assert one.get(MODEL, headers={**bearer, **forged}).status_code == 401
        listed = mine.get("/.well-known/oauth-authorization-server").json()
        assert listed["tls_client_certificate_bound_access_tokens"] is True
    return token


def test_a_client_is_known_by_its_certificate(fresh: MakeHouse, tmp_path: Path) -> None:
    house = fresh(trusted_proxies=["127.0.0.1"], proxy_certificate_header=HEADER)
    register(house)
    front = tmp_path / "front"
    front.mkdir()

    def trusting() -> ssl.SSLContext:
        trust = ssl.create_default_context(cafile=str(front / "api.test.crt"))
        trust.check_hostname = False
        return trust

    port = house.place.port
    with running(front, gateway=port, sites=free_port(), certificates=True) as doors:
        token = hold(f"https://127.0.0.1:{doors.api}", trusting, tmp_path)
    headers = {"authorization": f"Bearer {token}", HEADER: SHOWN.escaped.decode()}
    # Past the proxy: an address that is not the proxy's names a certificate, and one that is does.
    for address, status in (("127.0.0.2", 401), ("127.0.0.1", 200)):
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
            forwarded = {**headers, "x-forwarded-for": "127.0.0.1"}
            assert client.get(house.url + MODEL, headers=forwarded).status_code == status
    house.stop()

    _make_certificates(tmp_path)
    authorities = tmp_path / "clients.pem"
    authorities.write_bytes(SHOWN.pem + OTHER.pem)
    configure(
        house.place,
        tls_certificate=str(tmp_path / "sites.pem"),
        tls_key=str(tmp_path / "sites.key"),
        tls_client_ca=str(authorities),
        trusted_proxies=[],
        proxy_certificate_header="",
    )
    house.start()
    hold(f"https://127.0.0.1:{port}", lambda: authority(tmp_path), tmp_path)
