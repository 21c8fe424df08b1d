"""Routes whose requests mean one thing: strict JSON, and each query parameter once.

The framework takes the last of two equal names; what checked the request before us may have taken
the first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gateway.errors import InvalidRequest
from gateway.strict_json import strict_json

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route that refuses what two readers could understand differently."""

    def get_route_handler(self) -> _Handler:
        """See the framework."""
        handle = super().get_route_handler()
        reads = self.body_field is not None

        async def strict(request: Request) -> Response:
            _refuse_repeats(request.scope["query_string"])
            if reads:
                request = _Strict(request.scope, request.receive)
                await request.read()
            return await handle(request)

        return strict


class _Strict(Request):
    """A request whose JSON was read strictly."""

    _read: Any = None

    async def read(self) -> None:
        """Read the body.

        Raises:
            InvalidRequest: It is no JSON, or not strict.
        """
        body = await self.body()
        if not body:
            return
        try:
            self._read = strict_json(body)
        except ValueError as fault:
            raise InvalidRequest(str(fault)) from None

    async def json(self) -> Any:
        """Return what `read` found."""
        return self._read


def _refuse_repeats(query: bytes) -> None:
    # As the framework decodes it: of bytes `parse_qsl` makes ASCII again, which not all of it is.
    names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    if len(set(names)) != len(names):
        raise InvalidRequest("a query parameter is given twice")
