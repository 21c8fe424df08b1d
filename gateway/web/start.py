"""`/`: what a stranger may know of this gateway; see `gateway.start_page`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response

from gateway.start_page import CONTENT_TYPE, HEADERS, public_page


def build_router(version: str, ready: Callable[[], bool]) -> APIRouter:
    """Build the route.

    Args:
        version: The gateway's own version.
        ready: Whether requests are taken.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.head("/")
    def start() -> Response:
        """Show the page."""
        return Response(public_page(version, ready()), media_type=CONTENT_TYPE, headers=HEADERS)

    return router
