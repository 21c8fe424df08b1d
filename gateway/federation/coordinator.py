"""The gateway's side of the federation coordinator: HTTP over a Unix socket with a shared secret.

Whatever the coordinator answers is bounded and parsed into our values, or is
`CoordinatorUnavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import httpx
import msgspec

from gateway.errors import InvalidRequest, NotFound
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.records import Federation, Run, Site

MAX_ANSWER: Final = 4 << 20
"""A page of run events; each is some hundred bytes."""
MAX_RESULT: Final = 512 << 20
"""A trained model, whole in memory while it is admitted."""
TIMEOUT_S: Final = 30.0
"""What an answer may take; a start has more."""
START_S: Final = 50.0
"""Starting a SuperLink takes 6.5 s on two cores, half a minute on a busy machine. Whoever asked
waits no longer than a minute, so it is told before to try again: the coordinator goes on."""

EventType = Literal[
    "run_started",
    "round_started",
    "site_result",
    "site_error",
    "round_aggregated",
    "run_finished",
    "run_failed",
]
REFUSALS: Final = frozenset({httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY})
"""Answers that blame the request."""
_T = TypeVar("_T")


class RunEvent(msgspec.Struct, frozen=True):
    """One step of a run as the coordinator saw it.

    Attributes:
        round: 0 is an agreement before the training, 1 … its rounds.
        n_examples: Rows behind it, of one site or of all.
        digest: SHA-256 of the values that were contributed or aggregated.
        code: Why something failed: a stable word.
    """

    seq: int
    type: EventType
    round: int | None = None
    site: str | None = None
    n_examples: int | None = None
    metrics: dict[str, float] = {}
    digest: str | None = None
    code: str | None = None


class RunEvents(msgspec.Struct, frozen=True):
    """Events after a cursor, and the state of the run."""

    events: list[RunEvent]
    state: str


class _FleetUrl(msgspec.Struct):
    fleet_url: str


class _NodeId(msgspec.Struct):
    node_id: str | int


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What a run needs besides its federation."""

    run: Run
    federation: Federation
    sites: Sequence[Site]


class Coordinator(Protocol):
    """What the use cases ask of the coordinator.

    Every method raises `CoordinatorUnavailable` when there is no proper answer, and
    `InvalidRequest` when the coordinator says that the request cannot be right.
    """

    def fleet_url(self, tenant: str) -> str:
        """Ensure that the tenant's SuperLink runs and return where its nodes call."""

    def add_node(self, tenant: str, public_key: str) -> str:
        """Register a node key with the tenant's SuperLink, idempotent; return the node id."""

    def remove_node(self, tenant: str, node_id: str) -> None:
        """Unregister a node; nothing happens when it is unknown."""

    def start(self, order: RunOrder) -> None:
        """Start a run; a second start of the same run id changes nothing."""

    def events(self, run_id: str, after: int, wait_s: float) -> RunEvents:
        """Return events with `seq > after`, waiting up to `wait_s` for the first.

        Raises:
            NotFound: The coordinator does not know the run: it was restarted, and the run is gone.
        """

    def result(self, run_id: str) -> bytes:
        """Return the trained model (ONNX)."""

    def forget(self, run_id: str) -> None:
        """Drop what is kept of a run."""


class HttpCoordinator:
    """`Coordinator` over HTTP on a Unix socket.

    Args:
        socket: Path of the socket.
        secret: Bearer secret shared with the coordinator.
        transport: Replaces the socket in tests.
    """

    def __init__(
        self, socket: Path, secret: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._client = httpx.Client(
            transport=transport or httpx.HTTPTransport(uds=str(socket)),
            base_url="http://coordinator",
            headers={"authorization": f"Bearer {secret}"},
            timeout=TIMEOUT_S,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def fleet_url(self, tenant: str) -> str:
        """See `Coordinator`."""
        body = self._call("PUT", f"/tenants/{tenant}/superlink", timeout=START_S)
        return _decode(body, _FleetUrl).fleet_url

    def add_node(self, tenant: str, public_key: str) -> str:
        """See `Coordinator`."""
        self.fleet_url(tenant)
        body = self._call("POST", f"/tenants/{tenant}/nodes", {"public_key": public_key})
        return str(_decode(body, _NodeId).node_id)

    def remove_node(self, tenant: str, node_id: str) -> None:
        """See `Coordinator`."""
        with suppress(NotFound):
            self._call("DELETE", f"/tenants/{tenant}/nodes/{node_id}", may_be_absent=True)

    def start(self, order: RunOrder) -> None:
        """See `Coordinator`."""
        run, federation = order.run, order.federation
        self._call(
            "POST",
            "/runs",
            {
                "tenant": run.tenant,
                "federation": federation.name,
                "run_id": run.id,
                "sites": [{"name": site.name, "node_id": site.node_id} for site in order.sites],
                "rounds": run.rounds,
                "quorum": federation.quorum,
                "deadline_s": federation.deadline_s,
                "task": federation.task,
                "config": msgspec.json.decode(federation.config),
                "initial": None,
            },
        )

    def events(self, run_id: str, after: int, wait_s: float) -> RunEvents:
        """See `Coordinator`."""
        path = f"/runs/{run_id}/events?after={after}&wait={wait_s:g}"
        page = self._call("GET", path, timeout=wait_s + TIMEOUT_S, may_be_absent=True)
        return _decode(page, RunEvents)

    def result(self, run_id: str) -> bytes:
        """See `Coordinator`."""
        return self._call("GET", f"/runs/{run_id}/result", limit=MAX_RESULT)

    def forget(self, run_id: str) -> None:
        """See `Coordinator`."""
        with suppress(NotFound):
            self._call("DELETE", f"/runs/{run_id}", may_be_absent=True)

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        limit: int = MAX_ANSWER,
        timeout: float = TIMEOUT_S,
        may_be_absent: bool = False,
    ) -> bytes:
        try:
            with self._client.stream(method, path, json=body, timeout=timeout) as answer:
                if may_be_absent and answer.status_code == httpx.codes.NOT_FOUND:
                    raise NotFound
                if answer.status_code in REFUSALS:
                    raise InvalidRequest("the federation service refused the request")
                answer.raise_for_status()
                parts: list[bytes] = []
                size = 0
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > limit:
                        raise CoordinatorUnavailable
                    parts.append(part)
                return b"".join(parts)
        except httpx.HTTPError as cause:
            raise CoordinatorUnavailable from cause


def _decode(body: bytes, form: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, ValueError) as cause:
        raise CoordinatorUnavailable from cause


def present(coordinator: Coordinator | None) -> Coordinator:
    """Return the coordinator where there is one.

    Raises:
        CoordinatorUnavailable: Federation is off.
    """
    if coordinator is None:
        raise CoordinatorUnavailable("federation is switched off on this gateway").for_good()
    return coordinator
