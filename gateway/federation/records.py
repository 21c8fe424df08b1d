"""What a federation remembers: frozen values, no behaviour, no I/O.

Times are Unix seconds (UTC, integers). Names match `gateway.names`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.artifacts.upload import SealedPayload

RunState = Literal["starting", "running", "publishing", "finished", "failed"]


@dataclass(frozen=True, slots=True)
class Site:
    """A place of a tenant where data stays; known by the public key of its node.

    Attributes:
        public_key: The node's public key, OpenSSH form, one line without comment.
        node_id: What the coordinator calls the node.
    """

    tenant: str
    name: str
    public_key: str
    node_id: str
    created: int
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Federation:
    """Who may train together for which model, and how.

    Attributes:
        sites: Allow-list of site names; nobody else ever receives a task.
        model: The model that results are published under.
        task: The training task that sites run.
        config: The task's settings, JSON text.
        calibration: The convenor's held-out set for screening results, or None.
    """

    tenant: str
    name: str
    model: str
    sites: tuple[str, ...]
    task: str
    config: str
    quorum: int
    deadline_s: int
    created: int
    created_by: str
    calibration: SealedPayload | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One training run of a federation.

    Attributes:
        cursor: Sequence number of the last coordinator event that is durably audited.
        version: The version that the result is published as.
        revision: Grows by one with each change; compare-and-set works on it.
    """

    id: str
    tenant: str
    federation: str
    version: str
    rounds: int
    state: RunState
    started: int
    started_by: str
    purpose: str
    cursor: int = 0
    reason: str = ""
    revision: int = 0
