"""What a refusal must look like, and a request that is one field away from a good one."""

from __future__ import annotations

from typing import Any, Final

import httpx

from audit.event import is_event_id
from tests.e2e.house import Event, House, problem

# Sent in many places; no answer, log line or record may repeat it.
MARKER: Final = "MARKER-b64bd2"


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """Fail unless the answer is this problem and says nothing of what was sent."""
    assert (answer.status_code, problem(answer)) == (status, code)
    assert MARKER not in answer.text + str(answer.headers)


def nameless(answer: httpx.Response) -> bytes:
    """The body of an answer without the id of its request, which no two answers share."""
    name = answer.headers["sealgate-request-id"]
    assert is_event_id(name)
    return answer.content.replace(name.encode(), b"-")


def newest(house: House, **where: Any) -> Event:
    """The newest event of the clinic's log that fits."""
    return house.events(limit=1, **where)[0]


def tensor(**changes: Any) -> dict[str, Any]:
    image = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.0] * 64}
    return {"id": MARKER, "inputs": [{**image, **changes}]}
