"""Handing out artifacts: the plain graph only, for a named recipient key.

Safety argument:
1. Only payloads whose role is in `DELIVERED` leave the gateway. The fused graph and the profile
   hold rows of the calibration set: they look absent to everybody.
2. A delivery is decided for the named key, and its intent is durable before the first byte.
3. What leaves is the stored ciphertext; only a header made for the named key opens it, and making
   that header is decided and recorded as well.
4. What another tenant gets by a sharing is in the owner's log as well, before the first byte and
   before the header: which tenant, for which key, and not who there. Where that cannot be recorded
   nothing leaves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.artifacts.age import parse_recipient
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intent, Intents
from gateway.authorization.kinds import UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details, own_ids, registered_purpose
from gateway.authorization.records import Pending
from gateway.errors import EvidenceUnavailable, NotFound
from gateway.registry.catalogue import Catalogue
from gateway.registry.facts import version_facts, version_resource
from gateway.registry.records import ModelVersion, SealedPayload, Sharing
from gateway.registry.sharing_evidence import use_of
from policies.engine import Decision
from policies.facts import ModelVersionFacts

DELIVERED: Final = frozenset({"graph", "weights"})
"""Roles of payloads that may leave."""
DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
"""SHA-256 of a stored ciphertext."""
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
    lent: Sharing | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A delivery under way: its intent is durable."""

    found: Found
    intent: Intent


class Delivery:
    """Hands out payloads and headers.

    Args:
        catalogue: Looks versions up.
        guard: Decides and records.
        intents: Begin and end deliveries.
        make_header: Wraps a file key for recipients.
        new_id: Draws ids of events.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        guard: Guard,
        intents: Intents,
        make_header: MakeHeader,
        new_id: Callable[[], str],
    ) -> None:
        self._catalogue = catalogue
        self._guard = guard
        self._intents = intents
        self._make_header = make_header
        self._new_id = new_id
        intents.register(Kind("download", "downloadArtifact", _details, _finish))

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
        # What the caller wrote is held to its form first, whether or not the thing exists.
        parse_recipient(recipient)
        if DIGEST.match(digest) is None:
            raise NotFound
        record, found = self._catalogue.find(call, "downloadArtifact", model, version)
        payload = _deliverable(found, digest)
        facts = version_facts(record, found, self._guard.tenant)
        details: Details = {
            "model_id": model,
            "model_version": version,
            # A digest that no payload has is the caller's text and stays out of the log.
            "model_digest": payload.digest if payload is not None else "",
            "recipient": recipient_label(recipient),
        }
        decision = self._guard.require(call, "downloadArtifact", facts, **details)
        if payload is None:
            raise NotFound
        return Found(payload, facts, decision, details, record.lent)

    def open(self, call: Call, found: Found) -> Opened:
        """Record the intent of a delivery; the caller sends bytes, then calls `close`.

        Raises:
            EvidenceUnavailable: It could not be recorded; nothing may be sent.
        """
        facts = {
            "model": found.details["model_id"],
            "version": found.details["model_version"],
            "digest": found.payload.digest,
            "recipient": found.details["recipient"],
        }
        by = by_call(call, found.decision)
        if found.lent is not None:
            by.details["policy_ids"] = own_ids(found.decision.policy_ids, call.principal.tenant)
        intent = self._intents.begin("download", call.principal.tenant, facts, by)
        try:
            self._tell_owner(call, found, intent.id)
        except EvidenceUnavailable as fault:
            intent.failed(fault.code)
            raise
        return Opened(found, intent)

    def close(self, opened: Opened, *, sent: int, complete: bool) -> None:
        """Record how a delivery ended."""
        if complete:
            opened.intent.done(n_out=sent)
        else:
            opened.intent.failed("interrupted", n_out=sent)

    def header(self, call: Call, found: Found, recipient: str) -> bytes:
        """Return a fresh age header that opens the payload for the recipient.

        Raises:
            RecipientsMixed: The artifact is delivered to the other kind of key.
            EvidenceUnavailable: It could not be recorded.
        """
        header = self._make_header(found.facts.tenant.id, found.payload, [recipient])
        details: Details = {**found.details, "reason": "header", "id": self._new_id()}
        self._tell_owner(call, found, details["id"], reason="header")
        self._guard.record(
            call, "downloadArtifact", "allow", found.decision, found.facts, **details
        )
        return header

    def _tell_owner(self, call: Call, found: Found, event_id: str, reason: str = "") -> None:
        """Record in the owner's log what another tenant gets (claim 4)."""
        if found.lent is None:
            return
        purpose = registered_purpose(call.principal, call.purpose)
        told = use_of(found.lent, event_id, call.request_id, purpose, found.decision.policy_ids)
        details: Details = {**found.details, **told, "reason": reason}
        details["resource"] = "::".join(found.facts.uid)
        self._guard.tell("downloadArtifact", "allow", found.decision, **details)


def _finish(_: Pending) -> Settled:
    """What a client got of a delivery that was cut off is its own; nothing of it is whole."""
    return UNDONE


def _details(pending: Pending) -> Details:
    facts = pending.facts
    model, version = facts["model"], facts["version"]
    return {
        "model_id": model,
        "model_version": version,
        "model_digest": facts["digest"],
        "recipient": facts.get("recipient", ""),
        "resource": version_resource(pending.tenant, model, version),
    }


def recipient_label(recipient: str) -> str:
    """Return how a recipient is named in decisions and records."""
    if len(recipient) <= SHORT_RECIPIENT:
        return recipient
    return "sha256:" + hashlib.sha256(recipient.encode()).hexdigest()


def _deliverable(version: ModelVersion, digest: str) -> SealedPayload | None:
    for payload in version.payloads:
        if payload.digest == digest and payload.role in DELIVERED:
            return payload
    return None
