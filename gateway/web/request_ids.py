"""The id of a request: in its answer, its problem, its log lines and the record that it leads to.

Safety argument.
1. Every request gets a fresh id of the gateway's own making, whatever it sent: a caller can neither
   choose one nor learn from one what another asked.
2. What is recorded of a request carries its id, so that whoever was answered can name the record.
An id is no label of a metric: each request would be a series of its own.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

HEADER: Final = b"sealgate-request-id"
_KEY: Final = "sealgate.request_id"


def give(scope: Scope, request_id: str) -> None:
    """Let the request of `scope` have an id; called once, before anything else is done with it."""
    scope[_KEY] = request_id


def request_id_of(scope: Scope) -> str:
    """Return the id of a request; empty where nobody gave it one."""
    found = scope.get(_KEY, "")
    assert isinstance(found, str)
    return found
