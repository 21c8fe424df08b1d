"""Sees what a served gateway answers in any test, and holds that to the API's own document.

Whoever adds a route or a refusal and does not say so is told here, by whichever test meets it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import httpx
import jsonschema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.web.tracing import route_of

BEFORE_ANY_OPERATION: Final = {"405", "431"}
"""Statuses that the document's guide tells once, for all."""
MOST_BODIES: Final = 3
"""Bodies that are looked at, of one operation and status."""
LARGEST: Final = 1 << 16
"""Bytes: a larger body is not looked at."""


class Answered(NamedTuple):
    """What an answer was to, and what it was."""

    path: str
    method: str
    status: str
    kind: str


class AsDescribed:
    """An ASGI layer that remembers what went through it.

    Args:
        app: The public door.

    Attributes:
        seen: What was answered, each with some bodies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.seen: dict[Answered, list[bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, start = bytearray(), dict[str, Any]()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif len(body) <= LARGEST:
                body.extend(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if start:
                self._keep(scope, start, bytes(body))

    def _keep(self, scope: Scope, start: Mapping[str, Any], body: bytes) -> None:
        kinds = [value for name, value in start["headers"] if name.lower() == b"content-type"]
        kind = kinds[0].decode().partition(";")[0] if kinds and body else ""
        answered = Answered(route_of(scope), scope["method"], str(start["status"]), kind)
        bodies = self.seen.setdefault(answered, [])
        if len(bodies) < MOST_BODIES and len(body) <= LARGEST:
            bodies.append(body)

    def otherwise(self, described: Callable[[ASGIApp], Any] | None = None) -> list[str]:
        """Return what was answered and is not in the document."""
        told = (described or document_of)(self._app)
        found = []
        for answered, bodies in self.seen.items():
            methods = told["paths"].get(answered.path)
            if methods is not None and answered.status not in BEFORE_ANY_OPERATION:
                found += [f"{answered}: {fault}" for fault in faults(answered, bodies, told)]
        return found


def faults(answered: Answered, bodies: list[bytes], document: Mapping[str, Any]) -> list[str]:
    method = "get" if answered.method == "HEAD" else answered.method.lower()
    operation = document["paths"][answered.path].get(method)
    if operation is None:
        return ["there is no such operation"]
    answer = operation["responses"].get(answered.status)
    if answer is None:
        return ["there is no such status"]
    name = answer.get("$ref", "").rpartition("/")[2]
    content = (document["components"]["responses"][name] if name else answer).get("content", {})
    if answered.kind not in content:
        return ["there is no such content type"] if answered.kind else []
    if not answered.kind.endswith("json"):
        return []
    schema = {**content[answered.kind]["schema"], "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    return [error.message for body in bodies for error in validator.iter_errors(json.loads(body))]


def document_of(app: ASGIApp) -> Any:
    """Return the document of an application."""
    return asyncio.run(_ask(app))


_public: list[Any] = []


def public_document_of(app: ASGIApp) -> Any:
    """Return the document of a public door: that of the first one that was asked.

    It is the same for all but for the address, as `tests/gateway/web/test_one_document.py` holds,
    and takes longer to make than to serve most of what a test asks.
    """
    if not _public:
        _public.append(document_of(app))
    return _public[0]


async def _ask(app: ASGIApp) -> Any:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.get("/openapi.json")).raise_for_status().json()
