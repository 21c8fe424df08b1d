"""A log line for a request: what was asked, how it ended and how long it took, and of whom nothing.

Safety argument.
1. A line holds what this module names: the door, a method that is known, the template of the route,
   the status, the code of the problem, the tenant, sizes and times. No path, query, header, token,
   address, subject or client: whatever a caller sends, no byte of it gets in.
2. Lines of requests that were not served are bounded (`REFUSED_A_SECOND`, `FAILED_A_SECOND`), so
   nobody fills a log by asking for what is refused. How many were left out is told. What is served
   is logged as the operator set it.
3. Writing never holds a request up: a line is kept until a thread writes it, with those beside it
   at once; what is kept is bounded, too (`MAX_WAITING`).

Which of the served requests get a line is decided by their ids (UUIDv7, random at the end), as it
is for traces: with the same share, what is traced is logged.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeAlias

import orjson

REFUSED_A_SECOND: Final = 10
"""Enough to see what goes on; a year of a flood that never ends is some 100 GB, which rotates."""
FAILED_A_SECOND: Final = 50
"""Counted apart, so that a flood of what is refused does not hide the gateway's own faults."""
BURST_SECONDS: Final = 10
"""What was not used of those seconds may be used at once."""
MAX_WAITING: Final = 20_000
"""Lines, some 10 MB, when whoever reads the log has stopped to."""
GATHER_SECONDS: Final = 0.1
"""So long lines are gathered, to be written at once."""
TELL_SECONDS: Final = 10.0
"""From one telling of what was left out to the next."""
_ALL: Final = 1 << 32
_RANDOM_DIGITS: Final = 8

Share: TypeAlias = Literal["all", "errors"] | float
"""Which served requests get a line; those that were not served get one whatever it is."""


class Ended(NamedTuple):
    """How a request ended.

    Attributes:
        door: Where it came in.
        method: One of those that are known; empty where the door has one only.
        route: Template of its path, or the name of a method of ours; empty where there is none.
        status: Of HTTP, 0 where the caller was gone; of gRPC by name.
        seconds: From its head to the end of its answer.
        sent: Bytes of the answer's body.
        request_id: Its id.
        receipt: Its place in the audit log, `origin/tenant/index`; empty where it is not recorded.
        tenant: Whose caller it was; empty where that is not known, or in the receipt.
        problem: Code of the refusal; empty where there was none.
        failed: The gateway is to blame.
    """

    door: str
    method: str
    route: str
    status: int | str
    seconds: float
    sent: int
    request_id: str
    receipt: str = ""
    tenant: str = ""
    problem: str = ""
    failed: bool = False


class Bucket:
    """So many lines a second, and what was not used of the seconds before.

    Args:
        rate: Lines a second.
        now: Seconds.
    """

    def __init__(self, rate: int, now: float) -> None:
        self._rate, self._most = rate, rate * BURST_SECONDS
        self._left, self._at = float(self._most), now

    def take(self, now: float) -> bool:
        """Whether one more line may be written."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RequestLines:
    """Writes the lines. `wanted` and `add` are called on one event loop.

    Args:
        write: Takes whole lines; may block.
        clock: Unix seconds.
        monotonic: Seconds, which callers take times with.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._write, self._clock, self.monotonic = write, clock, monotonic
        self._below = 0
        self._on = False
        self._refused = Bucket(REFUSED_A_SECOND, monotonic())
        self._failed = Bucket(FAILED_A_SECOND, monotonic())
        self._waiting: deque[tuple[float, Ended]] = deque()
        self._untold = 0
        self._told = 0.0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-lines", daemon=True)
        self.left_out = 0
        """Lines that were not written since the start."""

    def set(self, level: str, share: Share) -> None:
        """Write lines as the settings say, from now on.

        Args:
            level: Of the log; lines are written at `info`.
            share: Which requests get one.
        """
        self._on = level in ("debug", "info")
        ratio = {"all": 1.0, "errors": 0.0}[share] if isinstance(share, str) else share
        self._below = int(ratio * _ALL)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and end."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wanted(self, request_id: str, *, served: bool) -> bool:
        """Whether a request gets a line; asked once for each, it costs a part of a microsecond."""
        if not self._on:
            return False
        if not served:
            return True
        return self._below > 0 and int(request_id[-_RANDOM_DIGITS:], 16) < self._below

    def add(self, ended: Ended, *, served: bool) -> None:
        """Have a line written, where the bounds allow it."""
        if not served:
            bucket = self._failed if ended.failed else self._refused
            if not bucket.take(self.monotonic()):
                self._leave_out()
                return
        if len(self._waiting) >= MAX_WAITING:
            self._leave_out()
            return
        self._waiting.append((self._clock(), ended))
        self._wake.set()

    def _leave_out(self) -> None:
        self.left_out += 1
        self._wake.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            untold = self.left_out > self._untold
            self._wake.wait(TELL_SECONDS if untold else None)
            self._closing.wait(GATHER_SECONDS)
            self._wake.clear()
            self.flush()
        self.flush(last=True)

    def flush(self, *, last: bool = False) -> None:
        """Write what waits, and how many were left out; called by the thread.

        Args:
            last: Tell of what was left out now, as nothing comes after.
        """
        lines = []
        while self._waiting:
            lines.append(line_of(*self._waiting.popleft()))
        left_out, now = self.left_out - self._untold, self.monotonic()
        if left_out and (last or now - self._told >= TELL_SECONDS):
            self._untold, self._told = self._untold + left_out, now
            lines.append(_rendered("request_lines_left_out", self._clock(), {"count": left_out}))
        if lines:
            self._write("".join(lines))


def line_of(at: float, ended: Ended) -> str:
    """Return the line of a request, with its end.

    Args:
        at: Unix seconds.
        ended: How it ended.
    """
    told: dict[str, object] = {"request_id": ended.request_id, "door": ended.door}
    if ended.method:
        told["method"] = ended.method
    told["route"] = ended.route or None
    told["status" if isinstance(ended.status, int) else "grpc_status"] = ended.status
    told["duration_ms"] = round(ended.seconds * 1000, 3)
    told["bytes"] = ended.sent
    place = ended.receipt.rsplit("/", 2)
    if tenant := place[1] if len(place) == 3 else ended.tenant:
        told["tenant"] = tenant
    if ended.receipt:
        told["audit"] = ended.receipt
    if ended.problem:
        told["problem"] = ended.problem
    return _rendered("request", at, told)


def _rendered(event: str, at: float, told: dict[str, object]) -> str:
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    line = {**told, "event": event, "level": "info", "timestamp": stamp.replace("+00:00", "Z")}
    return orjson.dumps(line).decode() + "\n"
