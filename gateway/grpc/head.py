"""What the headers of a gRPC call say (gRPC over HTTP2, "Requests"). Pure.

What the same connection sends again and again is read once: a head is a value of its headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.grpc.http2.fields import Headers
from gateway.identity.authenticate import Credentials

CONTENT_TYPE: Final = b"application/grpc"
_UNITS: Final = {
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
}
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a call.

    Attributes:
        path: `/service/method`.
        credentials: Who asks; a proof of possession names POST and this path.
        timeout: Seconds that the caller waits, or `None`.
        encoding: How its messages may be compressed.
        refused: HTTP status for what is no call of gRPC at all; 0 for what is.
    """

    path: str
    credentials: Credentials
    timeout: float | None
    encoding: bytes
    refused: int


def read_head(headers: Headers) -> Head:
    """Read the headers of a request that `check_request` let through."""
    given = dict(headers)
    path = given[b":path"].partition(b"?")[0].decode("latin-1")
    refused = 0
    if given[b":method"] != b"POST":
        refused = 405
    elif not _is_grpc(given.get(b"content-type", b"")):
        refused = 415
    return Head(
        path=path,
        credentials=Credentials(headers, given[b":method"].decode("latin-1"), path),
        timeout=_timeout(given.get(b"grpc-timeout")),
        encoding=given.get(b"grpc-encoding", b"identity"),
        refused=refused,
    )


def _is_grpc(content_type: bytes) -> bool:
    """Tell a message format of gRPC; `+json` and others are not spoken here."""
    essence = content_type.partition(b";")[0].strip().lower()
    return essence in (CONTENT_TYPE, CONTENT_TYPE + b"+proto")


def _timeout(value: bytes | None) -> float | None:
    """Read `grpc-timeout`; one that cannot be read has passed, so that nobody waits for it."""
    if value is None:
        return None
    found = _TIMEOUT.match(value)
    return int(found[1]) * _UNITS[found[2]] if found else 0.0
