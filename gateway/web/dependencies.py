"""How a route gets at what composition handed in, at its caller, and at the page asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, FastAPI, Header, Query, Request

from gateway.authorization.recorder import Call
from gateway.errors import InvalidRequest
from gateway.pages import PAGE
from gateway.web.authenticated import principal_of
from gateway.web.request_ids import request_id_of

T = TypeVar("T")


def provide(app: FastAPI, *things: object) -> None:
    """Let the routes of `app` find things by their type."""
    app.state.provided = {type(thing): thing for thing in things}


def provided(kind: type[T]) -> Any:
    """Return the dependency of a route on the thing of a type."""

    def find(request: Request) -> T:
        found = request.app.state.provided[kind]
        assert isinstance(found, kind)
        return found

    return Depends(find)


PURPOSE: Final = "Purpose of the request, for the decision; by default the client's own."


async def _call(
    request: Request,
    purpose: Annotated[
        str | None, Header(alias="sealgate-purpose", max_length=63, description=PURPOSE)
    ] = None,
) -> Call:
    principal = principal_of(request.scope)
    return Call(principal, purpose or principal.default_purpose, request_id_of(request.scope))


CallDep = Annotated[Call, Depends(_call)]


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list goes on and how much of it is wanted."""

    after: str
    limit: int

    @property
    def position(self) -> int:
        """The cursor of a list that is ordered by number; 0 at the beginning.

        Raises:
            InvalidRequest: The cursor is not one that an earlier page gave.
        """
        if not self.after:
            return 0
        if not self.after.isascii() or not self.after.isdigit() or len(self.after) > 18:
            raise InvalidRequest("`after` must be the `next` of an earlier page")
        return int(self.after)


def _page(
    after: Annotated[str, Query(max_length=128, description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE, description="Most items of the page.")] = PAGE,
) -> Page:
    return Page(after, limit)


PageDep = Annotated[Page, Depends(_page)]
