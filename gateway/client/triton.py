"""A plugin for tritonclient over HTTP: default clients, whose tokens are bound to a key, just work.

    client = tritonclient.http.InferenceServerClient("models.example", ssl=True)
    client.register_plugin(SealgatePlugin("app.json", client))

tritonclient shows a plugin the headers of a request and neither its method nor its address, which a
proof is about (RFC 9449, section 4.2). So the plugin marks the requests that pass through it, and
the proof is added where tritonclient hands them to its HTTP library; the plugin is given the client
to put itself there. Over gRPC the library has a place for this: `gateway.client.grpc`.

Safety argument.
1. A token leaves only for the address of the profile.
2. Only what passed through the plugin is proven: after `unregister_plugin` nothing is.
3. The caller's own headers are copied, not written to; `verbose` clients print no token.
4. A request is sent a second time only after 401, with what that taught, and never a third time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from tritonclient.http import InferenceServerClientPlugin

from gateway.client.auth import MOST_TRIES, SealgateAuth
from gateway.client.errors import ClientFault

MARK: Final = "sealgate-proven"
"""A header that says that the plugin saw a request; it never leaves."""
_SYNC: Final = "_client_stub"
_ASYNC: Final = "_stub"
"""Where the synchronous and the asynchronous client keep their HTTP library."""


class ClientUnknown(ClientFault):
    """The client is not one of tritonclient's for HTTP, or of a version that differs."""


class SealgatePlugin(InferenceServerClientPlugin):  # type: ignore[misc]
    """Authenticates the requests of one tritonclient for HTTP, `tritonclient.http.aio` too.

    Args:
        auth: A profile file, or what was made of one; several clients may share it.
        client: The client that the plugin is registered with.

    Raises:
        ProfileInvalid: The profile cannot be used.
        AddressRefused: The client is for another address than the profile.
        ClientUnknown: It cannot be used with this client.
    """

    def __init__(self, auth: SealgateAuth | str | Path, client: Any) -> None:
        self._auth = auth if isinstance(auth, SealgateAuth) else SealgateAuth.from_profile(auth)
        self._http = self._auth.http_client()
        name = _place_of(client)
        stub: Any = getattr(client, name)
        if name == _ASYNC:
            setattr(client, name, _AsyncStub(stub, self._auth, self._http))
            return
        scheme = "https" if stub.ssl else "http"
        self._auth.check_address(f"{scheme}://{_bracketed(stub.host)}:{stub.port}")
        setattr(client, name, _Stub(stub, self._auth, self._http))

    def __call__(self, request: Any) -> None:
        """Mark a request; tritonclient calls this before each."""
        request.headers = {**request.headers, MARK: "1"}


class _Stub:
    """The HTTP library of a synchronous client, with proofs."""

    def __init__(self, stub: Any, auth: SealgateAuth, http: httpx.Client) -> None:
        self._stub, self._auth, self._http = stub, auth, http

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def get(self, request_uri: str, headers: Mapping[str, str] | None = None) -> Any:
        return self._send("GET", request_uri, headers)

    def post(
        self, request_uri: str, body: Any = b"", headers: Mapping[str, str] | None = None
    ) -> Any:
        return self._send("POST", request_uri, headers, body=body)

    def _send(self, method: str, uri: str, headers: Mapping[str, str] | None, **body: Any) -> Any:
        own, marked = _unmarked(headers)
        send = getattr(self._stub, method.lower())
        if not marked:
            return send(uri, headers=own, **body)
        path = "/" + uri.partition("?")[0].lstrip("/")
        for left in reversed(range(MOST_TRIES)):
            proven = self._auth.headers(self._http, method, path)
            answer = send(uri, headers={**own, **proven}, **body)
            if not left or not self._auth.learn(_token_of(proven), answer.status_code, answer):
                return answer
            answer.read()
        raise AssertionError("unreachable")


class _AsyncStub:
    """The HTTP library of an asynchronous client, with proofs."""

    def __init__(self, stub: Any, auth: SealgateAuth, http: httpx.Client) -> None:
        self._stub, self._auth, self._http = stub, auth, http

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        return await self._send("GET", url, headers)

    async def post(
        self, url: str, data: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        return await self._send("POST", url, headers, data=data)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str] | None, **data: Any
    ) -> Any:
        own, marked = _unmarked(headers)
        send = getattr(self._stub, method.lower())
        if not marked:
            return await send(url=url, headers=own, **data)
        self._auth.check_address(url)
        path = httpx.URL(url).raw_path.partition(b"?")[0].decode("ascii")
        for left in reversed(range(MOST_TRIES)):
            proven = await asyncio.to_thread(self._auth.headers, self._http, method, path)
            answer = await send(url=url, headers={**own, **proven}, **data)
            if not left or not self._auth.learn(_token_of(proven), answer.status, answer.headers):
                return answer
            await answer.read()
        raise AssertionError("unreachable")


def _place_of(client: Any) -> str:
    """Return where a client keeps its HTTP library; gRPC's has one of that name, and no `get`."""
    for name in (_SYNC, _ASYNC):
        stub = getattr(client, name, None)
        if all(callable(getattr(stub, method, None)) for method in ("get", "post")):
            return name
    raise ClientUnknown(
        "this is no client of tritonclient.http that is known",
        "use version 2.73, gateway.client.grpc for gRPC, or an httpx client with SealgateAuth",
    )


def _unmarked(headers: Mapping[str, str] | None) -> tuple[dict[str, str], bool]:
    own = dict(headers or {})
    return own, own.pop(MARK, None) is not None


def _token_of(headers: Mapping[str, str]) -> str:
    return headers["authorization"].partition(" ")[2]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
