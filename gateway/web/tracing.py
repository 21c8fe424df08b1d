"""The trace of a request, where its door and its steps find it, and what of its path is told."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from gateway.traces import UNTRACED, Untraced

_TRACE: Final = "sealgate.trace"
_ROUTE: Final = "sealgate.route"


def give(scope: Scope, trace: Untraced) -> None:
    """Let the request of `scope` have a trace."""
    scope[_TRACE] = trace


def trace_of(scope: Scope) -> Untraced:
    """Return the trace of a request."""
    found = scope.get(_TRACE, UNTRACED)
    assert isinstance(found, Untraced)
    return found


def name_route(scope: Scope, template: str) -> None:
    """Let the request of `scope` go by a template of its path."""
    scope[_ROUTE] = template


def route_of(scope: Scope) -> str:
    """Return the template of a request's path: never the path, which is the caller's text."""
    return str(scope.get(_ROUTE) or getattr(scope.get("route"), "path_format", ""))
