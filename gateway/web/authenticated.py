"""Every call under `/v1/` is authenticated before anything else of it is read.

Safety argument:
1. A route reads body and parameters only when the caller has been authenticated: unauthenticated
   callers make the gateway hold and parse nothing.
2. A route that is not behind this layer finds no principal and fails: none runs without a caller.
3. An unauthenticated caller cannot tell the paths that exist from those that do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import SealgateError
from gateway.identity.authenticate import Authenticator, Credentials
from gateway.identity.principal import Principal
from gateway.web.bounded_body import CLOSE, has_body, refuse
from gateway.web.client_certificates import thumbprint_of

PREFIX: Final = "/v1/"
_KEY: Final = "sealgate.principal"


class Authenticated:
    """Refuses every caller whom the authenticator does not know.

    Args:
        app: The ASGI application to guard.
        authenticator: Reads the headers.
        refused: Told the code of each refusal before a tenant was known.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        refused: Callable[[str], None] = lambda _code: None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            path = scope["raw_path"].decode("latin-1")
            try:
                scope[_KEY] = await self._authenticator.identify(
                    Credentials(
                        scope["headers"],
                        scope["method"],
                        path,
                        certificate=thumbprint_of(scope),
                    )
                )
            except SealgateError as refusal:
                self._refused(refusal.code)
                await refuse(scope, send, refusal, *([CLOSE] if has_body(scope) else []))
                return
        await self._app(scope, receive, send)


def tenant_of(scope: Scope) -> str:
    """Return the tenant of who asks; empty for requests that did not come through here."""
    found = scope.get(_KEY)
    return found.tenant if isinstance(found, Principal) else ""


def principal_of(scope: Scope) -> Principal:
    """Return who asks; only for requests that came through `Authenticated`."""
    principal = scope[_KEY]
    assert isinstance(principal, Principal)
    return principal
