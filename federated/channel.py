"""The ServerApp's line to its coordinator: plan in, events and result out, over a Unix socket.

The result travels here, from memory to memory, and not through Flower's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx
import msgspec
import numpy as np

from federated.aggregation import Vector
from federated.plan import Event, Plan, parse_plan
from federated.rounds import Outcome
from federated.task import Standardisation

TIMEOUT_S = 10.0
"""The coordinator answers from memory; longer means that it is gone, and then so is the run."""


class Assignment(msgspec.Struct, frozen=True):
    """What a ServerApp is to carry out: the plan and the SuperLink's ids of its sites."""

    plan: msgspec.Raw
    nodes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the coordinator listens and the secret that opens it for one tenant's runs."""

    socket: str
    secret: str


class Channel:
    """One run's line; use as a context manager."""

    def __init__(self, address: Address, run_id: str) -> None:
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=address.socket),
            base_url=f"http://coordinator/reports/{run_id}",
            headers={"authorization": f"Bearer {address.secret}"},
            timeout=TIMEOUT_S,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def assignment(self) -> tuple[Plan, dict[str, int]]:
        """Fetch what to do; raises `httpx.HTTPError` when the coordinator does not know the run."""
        answer = self._client.get("/assignment").raise_for_status()
        assignment = msgspec.json.decode(answer.content, type=Assignment)
        return parse_plan(bytes(assignment.plan)), assignment.nodes

    def report(self, event: Event) -> None:
        """Send one event; when this returns, the coordinator has it."""
        self._client.post("/events", content=msgspec.json.encode(event)).raise_for_status()

    def deliver(self, outcome: Outcome) -> None:
        """Send the global model to the coordinator."""
        self._client.put("/result", content=pack(outcome)).raise_for_status()


def pack(outcome: Outcome) -> bytes:
    """Return `[mean, scale, w, b]` as little-endian float64."""
    standardisation = outcome.standardisation
    parts = [standardisation.mean, standardisation.scale, outcome.parameters]
    return np.concatenate(parts).astype("<f8").tobytes()


def unpack(data: bytes, features: int) -> Outcome:
    """Return what `pack` packed.

    Raises:
        ValueError: The length is not that of `features`.
    """
    vector: Vector = np.frombuffer(data, dtype="<f8").astype(np.float64)
    if vector.shape != (3 * features + 1,):
        raise ValueError("the packed model does not have the agreed length")
    mean, scale, parameters = np.split(vector, [features, 2 * features])
    return Outcome(parameters, Standardisation(mean, scale))
