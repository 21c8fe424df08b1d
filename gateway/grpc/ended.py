"""What is noted of a call that has ended: a count, and a line of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.grpc.status import Status
from gateway.request_lines import Ended, RequestLines

Metadata: TypeAlias = tuple[tuple[bytes, bytes], ...]
DOOR: Final = "grpc"
FAULTS: Final = frozenset({Status.UNKNOWN, Status.INTERNAL, Status.UNAVAILABLE, Status.DATA_LOSS})
"""Statuses that are the gateway's to answer for."""


class CallsEnded:
    """Notes ends.

    Args:
        count: Told the method, empty where it is none of ours, and the status by name.
        lines: Where lines go.
    """

    def __init__(self, count: Callable[[str, str], None], lines: RequestLines) -> None:
        self._count = count
        self._lines = lines
        self.monotonic = lines.monotonic

    def call(
        self,
        method: str,
        status: Status | int,
        began: float,
        sent: int,
        request_id: str,
        metadata: Metadata,
    ) -> None:
        """Note the end of a call.

        Args:
            method: `service/method` of ours; empty for what is none.
            status: Of gRPC; a number that is none of them is of HTTP, as of what is no gRPC.
            began: Seconds of `monotonic`.
            sent: Bytes of its messages.
            request_id: Its id.
            metadata: What was told after it.
        """
        self._count(method, status.name if isinstance(status, Status) else str(status))
        self.within(method, status, began, sent, request_id, metadata)

    def within(
        self,
        method: str,
        status: Status | int,
        began: float,
        sent: int,
        request_id: str,
        metadata: Metadata,
    ) -> None:
        """Note the end of one request of a stream, likewise: a line, but no call."""
        served = status is Status.OK
        if not self._lines.wanted(request_id, served=served):
            return
        told = dict(metadata)
        ended = Ended(
            DOOR,
            "",
            method,
            status.name if isinstance(status, Status) else status,
            self.monotonic() - began,
            sent,
            request_id,
            receipt=told.get(b"sealgate-audit", b"").decode(),
            problem=told.get(b"sealgate-problem", b"").decode(),
            failed=status in FAULTS,
        )
        self._lines.add(ended, served=served)
