"""Handing out artifacts: the plain graph only, for a named recipient key.

Safety argument:
1. Only payloads whose role is in `DELIVERED` leave the gateway. The fused graph and the profile
   hold rows of the calibration set: they look absent to everybody.
2. A delivery is decided for the named key, and its intent is durable before the first byte.
3. What leaves is the stored ciphertext; only a header made for the named key opens it, and making
   that header is decided and recorded as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.artifacts.age import parse_recipient
from gateway.authorization.guard import Guard
from gateway.authorization.ports import PendingStore
from gateway.authorization.recorder import Call, Details, Recorder
from gateway.authorization.records import Pending
from gateway.errors import NotFound
from gateway.registry.catalogue import Catalogue
from gateway.registry.records import ModelVersion, SealedPayload
from policies.engine import Decision
from policies.facts import ModelVersionFacts

DELIVERED: Final = frozenset({"graph", "weights"})
"""Roles of payloads that may leave."""
SHORT_RECIPIENT: Final = 128
"""Longer (post-quantum) recipients are recorded by their SHA-256."""

MakeHeader = Callable[[str, SealedPayload, list[str]], bytes]
"""(tenant, payload, recipients) → an age header for the payload's file key."""


@dataclass(frozen=True, slots=True)
class Found:
    """A payload that was decided to be for one recipient."""

    payload: SealedPayload
    facts: ModelVersionFacts
    decision: Decision
    details: Details


@dataclass(frozen=True, slots=True)
class Opened:
    """A delivery under way: its intent is durable."""

    found: Found
    intent: str


class Delivery:
    """Hands out payloads and headers.

    Args:
        catalogue: Looks versions up.
        guard: Decides and records.
        recorder: Records what reconciliation finishes.
        pending: Remembers deliveries under way.
        make_header: Wraps a file key for recipients.
        clock: Unix seconds.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        guard: Guard,
        recorder: Recorder,
        pending: PendingStore,
        make_header: MakeHeader,
        clock: Callable[[], float],
    ) -> None:
        self._catalogue = catalogue
        self._guard = guard
        self._recorder = recorder
        self._pending = pending
        self._make_header = make_header
        self._clock = clock

    def find(self, call: Call, model: str, version: str, digest: str, recipient: str) -> Found:
        """Find a payload and decide whether it may go to a recipient.

        Args:
            call: Who asks.
            model: Model name.
            version: Version name.
            digest: Digest of the payload.
            recipient: The age public key that the artifact is for.

        Raises:
            NotFound: Absent, never delivered, or not for this caller.
            Forbidden: Policy says no.
            RecipientInvalid: The key is malformed.
        """
        record, found = self._catalogue.find(call, model, version)
        payload = _deliverable(found, digest)
        parse_recipient(recipient)
        facts = self._guard.version(record, found)
        details: Details = {
            "model_id": model,
            "model_version": version,
            "model_digest": digest,
            "recipient": recipient_label(recipient),
        }
        decision = self._guard.require(call, "downloadArtifact", facts, **details)
        return Found(payload, facts, decision, details)

    def open(self, call: Call, found: Found) -> Opened:
        """Record the intent of a delivery; the caller sends bytes, then calls `close`.

        Raises:
            EvidenceUnavailable: It could not be recorded; nothing may be sent.
        """
        planned: Details = {**found.details, "phase": "intent"}
        intent = self._guard.record(
            call, "downloadArtifact", "allow", found.decision, found.facts, **planned
        )
        self._pending.add_pending(
            Pending(
                id=intent.event_id,
                tenant=call.principal.tenant,
                kind="download",
                facts={
                    "model": found.details["model_id"],
                    "version": found.details["model_version"],
                    "digest": found.payload.digest,
                },
                at=int(self._clock()),
            )
        )
        return Opened(found, intent.event_id)

    def close(self, call: Call, opened: Opened, *, sent: int, complete: bool) -> None:
        """Record how a delivery ended."""
        ended: Details = {
            **opened.found.details,
            "phase": "result",
            "intent_id": opened.intent,
            "n_out": sent,
            "reason": "" if complete else "interrupted",
        }
        self._guard.record(
            call,
            "downloadArtifact",
            "done" if complete else "error",
            opened.found.decision,
            opened.found.facts,
            **ended,
        )
        self._pending.remove_pending(call.principal.tenant, opened.intent)

    def header(self, call: Call, found: Found, recipient: str) -> bytes:
        """Return a fresh age header that opens the payload for the recipient.

        Raises:
            RecipientsMixed: The artifact is delivered to the other kind of key.
            EvidenceUnavailable: It could not be recorded.
        """
        header = self._make_header(found.facts.tenant.id, found.payload, [recipient])
        details: Details = {**found.details, "reason": "header"}
        self._guard.record(
            call, "downloadArtifact", "allow", found.decision, found.facts, **details
        )
        return header

    def reconcile(self, pending: Pending) -> None:
        """Record that a delivery was cut off by the end of its process."""
        event = self._recorder.event_for(
            None,
            "downloadArtifact",
            "error",
            category="artifact",
            tenant=pending.tenant,
            reason="interrupted",
            phase="result",
            intent_id=pending.id,
            model_id=pending.facts["model"],
            model_version=pending.facts["version"],
        )
        self._recorder.write(event)
        self._pending.remove_pending(pending.tenant, pending.id)


def recipient_label(recipient: str) -> str:
    """Return how a recipient is named in decisions and records."""
    if len(recipient) <= SHORT_RECIPIENT:
        return recipient
    return "sha256:" + hashlib.sha256(recipient.encode()).hexdigest()


def _deliverable(version: ModelVersion, digest: str) -> SealedPayload:
    for payload in version.payloads:
        if payload.digest == digest and payload.role in DELIVERED:
            return payload
    raise NotFound
