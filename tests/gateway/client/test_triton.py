"""The plugin for tritonclient, between a client and its HTTP library."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.client import AddressRefused, ClientFault, SealgateAuth
from tests.gateway.client.issuer import URL, Issuer, claims_of, profile

pytestmark = pytest.mark.clients


def plugin_for(auth: SealgateAuth, client: Client) -> Any:
    """Make a plugin; its module needs tritonclient, which is not everywhere."""
    return importlib.import_module("gateway.client.triton").SealgatePlugin(auth, client)


class Auth(SealgateAuth):
    """Reaches an issuer in memory."""

    def __init__(self, issuer: Issuer) -> None:
        super().__init__(profile())
        self.issuer = issuer

    def http_client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.issuer))


@dataclass
class Answer:
    """As geventhttpclient and aiohttp have it, each with what of it is read."""

    answer: httpx.Response

    @property
    def status_code(self) -> int:
        return self.answer.status_code

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def headers(self) -> httpx.Headers:
        return self.answer.headers

    def get(self, name: str, default: str | None = None) -> str | None:
        found: str | None = self.answer.headers.get(name, default)
        return found

    def read(self) -> bytes:
        return self.answer.content


@dataclass
class AsyncAnswer(Answer):
    async def read(self) -> bytes:  # type: ignore[override]
        return self.answer.content


@dataclass
class Library:
    """An HTTP library whose other end is the issuer."""

    issuer: Issuer
    host: str = "models.example"
    port: int = 443
    ssl: bool = True

    def get(self, request_uri: str, headers: dict[str, str]) -> Answer:
        return self.send("GET", URL + request_uri, headers)

    def post(self, request_uri: str, body: bytes, headers: dict[str, str]) -> Answer:
        return self.send("POST", URL + request_uri, headers)

    def send(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        return Answer(self.issuer(httpx.Request(method, url, headers=headers)))


@dataclass
class AsyncLibrary(Library):
    async def get(  # type: ignore[override]
        self, url: str, headers: dict[str, str]
    ) -> AsyncAnswer:
        return AsyncAnswer(self.send("GET", url, headers).answer)

    async def post(  # type: ignore[override]
        self, url: str, data: bytes, headers: dict[str, str]
    ) -> AsyncAnswer:
        return AsyncAnswer(self.send("POST", url, headers).answer)


@dataclass
class Request:
    headers: dict[str, str] = field(default_factory=dict)


class Client:
    """What the plugin sees of a client of tritonclient."""

    def __init__(self, **stub: Any) -> None:
        vars(self).update(stub)


def marked(plugin: Any, **own: str) -> dict[str, str]:
    request = Request(own)
    plugin(request)
    assert request.headers is not own
    return request.headers


def test_each_request_is_proven_for_its_method_and_address() -> None:
    issuer = Issuer()
    client = Client(_client_stub=Library(issuer))
    plugin = plugin_for(Auth(issuer), client)
    stub: Any = vars(client)["_client_stub"]
    assert stub.get("/v2/models/m?a=b", headers=marked(plugin)).status_code == 200
    assert stub.post("/v2/models/m/infer", body=b"x", headers=marked(plugin)).status_code == 200
    proofs = [claims_of(request) for request in issuer.seen[1:]]
    assert [(proof["htm"], proof["htu"]) for proof in proofs] == [
        ("GET", f"{URL}/v2/models/m"),
        ("POST", f"{URL}/v2/models/m/infer"),
    ]
    assert "sealgate-proven" not in issuer.seen[-1].headers


def test_what_did_not_pass_through_the_plugin_is_sent_as_it_is() -> None:
    issuer = Issuer()
    client = Client(_client_stub=Library(issuer))
    plugin_for(Auth(issuer), client)
    stub: Any = vars(client)["_client_stub"]
    with pytest.raises(KeyError, match="authorization"):
        stub.get("/v2/models/m", headers={})


def test_a_revoked_token_is_replaced_once() -> None:
    issuer = Issuer()
    client = Client(_client_stub=Library(issuer))
    plugin = plugin_for(Auth(issuer), client)
    stub: Any = vars(client)["_client_stub"]
    assert stub.get("/v2", headers=marked(plugin)).status_code == 200
    issuer.dead = {"token-1"}
    assert stub.get("/v2", headers=marked(plugin)).status_code == 200
    assert issuer.issued == 2


def test_an_asynchronous_client_is_proven_and_given_a_new_token_likewise() -> None:
    issuer = Issuer()
    client = Client(_stub=AsyncLibrary(issuer))
    plugin = plugin_for(Auth(issuer), client)
    stub: Any = vars(client)["_stub"]

    async def ask() -> None:
        url = f"{URL}/v2/models/m/infer"
        assert (await stub.post(url=url, data=b"", headers=marked(plugin))).status == 200
        issuer.dead = {"token-1"}
        assert (await stub.get(url=f"{URL}/v2", headers=marked(plugin))).status == 200
        with pytest.raises(AddressRefused):
            await stub.get(url="https://other.example/v2", headers=marked(plugin))

    asyncio.run(ask())
    assert issuer.issued == 2


def test_a_client_for_another_address_is_refused_at_once() -> None:
    issuer = Issuer()
    for library in (Library(issuer, port=8443), Library(issuer, ssl=False, port=80)):
        with pytest.raises(AddressRefused):
            plugin_for(Auth(issuer), Client(_client_stub=library))


def test_another_kind_of_client_is_told_what_to_use() -> None:
    for client in (Client(), Client(_client_stub=object())):
        with pytest.raises(ClientFault) as refused:
            plugin_for(Auth(Issuer()), client)
        assert "gateway.client.grpc" in refused.value.advice
