"""From a decided call to its audit event, and the event into the log.

Safety argument:
1. Every event names the caller by references only: client id and token subject of a service, never
   a token, an address or a payload.
2. `Recorder.write` returns when the event is durable; when it is not, it raises
   `EvidenceUnavailable` and the caller must not act or answer.
3. A retry of the same event is harmless: the log is idempotent by event id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypedDict, Unpack

from audit.errors import AuditUnavailable, StoreFault
from audit.event import Event, FederatedPart, Outcome, Phase, Screening, new_event_id
from audit.log import AuditLog, Receipt
from audit.note import LogSigner
from audit.ports import SealedField
from gateway.errors import EvidenceUnavailable
from gateway.identity.principal import Principal
from policies.engine import Decision

CATEGORIES: Final = {
    "infer": "inference",
    "releaseOutput": "inference",
    "finishBatch": "inference",
    "readMetadata": "registry",
    "downloadArtifact": "artifact",
    "uploadArtifact": "artifact",
    "promote": "release",
    "rollback": "release",
    "managePolicy": "policy",
    "reviewAudit": "audit",
    "exportAudit": "audit",
    "exportSubject": "privacy",
    "eraseSubject": "privacy",
    "startRound": "federation",
    "joinFederation": "federation",
    "restore": "administration",
    "administer": "administration",
    "askApproval": "administration",
    "grantApproval": "administration",
    "withdrawApproval": "administration",
    "initialise": "administration",
    "rotateLogKey": "administration",
    "issueToken": "identity",
    "revokeToken": "identity",
    "acceptInvitation": "identity",
    "addPasskey": "identity",
    "removePasskey": "identity",
    "markPasskey": "identity",
    "signIn": "identity",
    "signOut": "identity",
    "refuseUnauthenticated": "identity",
    "setAside": "registry",
    "runStarted": "federation",
    "roundStarted": "federation",
    "siteResult": "federation",
    "siteError": "federation",
    "roundAggregated": "federation",
    "runFinished": "federation",
    "runFailed": "federation",
}
"""Action (Cedar's, or a verb of the gateway itself) → category of its events."""


class Details(TypedDict, total=False):
    """Fields of an event that depend on the action; see `audit.event.Event`."""

    id: str
    tenant: str
    actor_ref: str
    client_id: str
    actor_type: str
    session_ref: str
    reason: str
    resource: str
    purpose: str
    policy_ids: tuple[str, ...]
    subject_refs: tuple[str, ...]
    model_id: str
    model_version: str
    model_digest: str
    recipient: str
    terms: str
    phase: Phase
    intent_id: str
    request_id: str
    trace_id: str
    latency_us: int
    n_in: int
    n_out: int
    input_commit: str
    output_commit: str
    screening: Screening | None
    fl: FederatedPart
    prev_checkpoint_size: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """The request of somebody else that a caller agrees to (`gateway.authorization.approvals`).

    Attributes:
        by: The client that asked.
        digest: SHA-256 of the request, hex.
    """

    by: str
    digest: str


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request: who asks, for which purpose, under which id.

    Attributes:
        agreed: What another one asked for and this caller agrees to; None: it asks by itself.
    """

    principal: Principal
    purpose: str | None
    request_id: str
    agreed: Agreed | None = None


def registered_purpose(principal: Principal, purpose: str | None) -> str:
    """Return the purpose as it may be recorded: one that is not registered is the caller's text."""
    return purpose if purpose is not None and purpose in principal.purposes else ""


def own_ids(policy_ids: Iterable[str], tenant: str) -> tuple[str, ...]:
    """Return the ids of the platform's policies and of one tenant's: the others are not its."""
    return tuple(one for one in policy_ids if one.rpartition("/")[0] in ("", tenant))


def of_call(call: Call) -> Details:
    """Return the fields of an event that come from the call itself."""
    details: Details = {
        "purpose": registered_purpose(call.principal, call.purpose),
        "request_id": call.request_id,
    }
    if call.agreed is not None:
        details["input_commit"] = call.agreed.digest
    return details


class Recorder:
    """Builds events and makes them durable.

    Args:
        log: The audit log; started by whoever owns it.
        clock: Unix seconds.
        random_bytes: Source of event ids.
        gateway_id: Which gateway; stable over restarts.
        boot_id: Which start of it.
        region: Where this gateway stands.
    """

    def __init__(
        self,
        log: AuditLog,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        gateway_id: str,
        boot_id: str,
        region: str,
    ) -> None:
        self._log = log
        self._clock = clock
        self._random_bytes = random_bytes
        self._gateway_id = gateway_id
        self._boot_id = boot_id
        self._region = region

    def new_id(self) -> str:
        """Return a fresh event id (UUIDv7)."""
        return new_event_id(self._clock, self._random_bytes)

    def event_for(
        self,
        principal: Principal | None,
        action: str,
        outcome: Outcome,
        decision: Decision | None = None,
        **details: Unpack[Details],
    ) -> Event:
        """Build the event of one action.

        Args:
            principal: Who acted; None for the gateway itself (then `tenant` is required).
            action: The Cedar action, or a verb of the gateway itself.
            outcome: `allow` or `deny` as decided, `done` or `error` as it ended.
            decision: The decision that led here, if there was one.
            **details: What else is known.
        """
        fields: dict[str, object] = {
            "ts": int(self._clock() * 1_000_000_000),
            "category": CATEGORIES[action],
            "action": action,
            "outcome": outcome,
            "region": self._region,
            "gateway_id": self._gateway_id,
            "boot_id": self._boot_id,
        }
        if principal is not None:
            fields["tenant"] = principal.tenant
            fields["actor_ref"] = principal.subject
            fields["actor_type"] = principal.kind
            fields["client_id"] = principal.app or principal.client_id
            fields["session_ref"] = principal.sign_in
            fields["auth_method"] = principal.binding
        if decision is not None:
            fields["policy_ids"] = decision.policy_ids
            fields["policy_epoch"] = decision.epoch
        fields.update(details)
        if not fields.get("id"):
            fields["id"] = self.new_id()
        return Event(**fields)  # type: ignore[arg-type]  # the keys are those of Details

    def record(
        self,
        call: Call,
        action: str,
        outcome: Outcome,
        decision: Decision | None,
        **details: Unpack[Details],
    ) -> Receipt:
        """Record what was decided or done for a call, in the log of its tenant; for threads.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        fields: Details = {**of_call(call), **details}
        event = self.event_for(call.principal, action, outcome, decision, **fields)
        return self.write(event)

    def find(self, tenant: str, event_id: str) -> Receipt | None:
        """Return where an event is in the tenant's log; None when it is not there.

        Raises:
            EvidenceUnavailable: The log cannot be read now.
        """
        with _evidence():
            return self._log.find(tenant, event_id)

    def write(self, event: Event, sealed: Sequence[SealedField] = ()) -> Receipt:
        """Make `event` durable; for threads.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        with _evidence():
            return self._log.append_blocking(event, sealed)

    def rotate_log_key(self, event: Event, successor: LogSigner) -> Receipt:
        """Make the event durable by which another key signs a log; see `AuditLog.rotate_key`.

        Raises:
            EvidenceUnavailable: It is not known to be durable: repeat the call.
        """
        with _evidence():
            return self._log.rotate_key(event, successor)

    async def write_async(self, event: Event, sealed: Sequence[SealedField] = ()) -> Receipt:
        """Do what `write` does, on an event loop.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        with _evidence():
            return await self._log.append(event, sealed)


@contextmanager
def _evidence() -> Iterator[None]:
    try:
        yield
    except (AuditUnavailable, StoreFault) as cause:
        raise EvidenceUnavailable from cause
