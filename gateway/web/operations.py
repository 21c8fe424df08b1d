"""What a route says about itself beside its types: what is decided, and how it may end.

A route names the codes of the problems that are its own; those that every route of its kind may end
with are added where the document is made (`gateway.web.description`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi.routing import APIRoute

DECISION: Final = "x-sealgate-decision"
"""Extension of an operation: Cedar actions, and the kinds of things that they are done to."""
REFUSALS: Final = "x-sealgate-refusals"
"""Codes of an operation's own problems; the document has responses in their place."""

BYTES: Final[Mapping[str, Any]] = {"type": "string", "format": "binary"}
TEXT: Final[Mapping[str, Any]] = {"type": "string"}


def says(
    *refusals: str, decides: str = "", on: str = "", also: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Return `openapi_extra` of a route.

    Args:
        *refusals: Codes of the problems that are the route's own, see `gateway.web.problems`.
        decides: The Cedar action that is decided; empty where nothing is.
        on: The kind of thing that it is done to.
        also: Another action and kind of thing, of which the request says which it is.
    """
    decided = [(decides, on)] if decides else []
    decided += [also] if also else []
    said: dict[str, Any] = {REFUSALS: list(refusals)}
    if decided:
        said[DECISION] = [{"action": action, "on": kind} for action, kind in decided]
    return said


def sends(
    media_type: str,
    what: str,
    *,
    schema: Mapping[str, Any] = BYTES,
    example: str | None = None,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
) -> dict[int | str, dict[str, Any]]:
    """Return `responses` of a route that answers with something else than JSON of a type.

    Args:
        media_type: Its content type.
        what: What it is, for people.
        schema: Its schema.
        example: What it looks like.
        headers: Headers of its own, each with what it says.
        status: HTTP status.
    """
    content: dict[str, Any] = {"schema": dict(schema)}
    if example is not None:
        content["example"] = example
    told: dict[str, Any] = {"description": what, "content": {media_type: content}}
    if headers:
        told["headers"] = described(headers)
    return {status: told}


def described(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return headers, each with what it says, as the document has them."""
    return {
        name: {"description": what, "schema": {"type": "string"}} for name, what in headers.items()
    }


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation for programs: that of its function, which stays."""
    return route.name
