"""Sealed uploads: received, kept for a while, bound to the client that sent them.

1. An upload is decided before its first byte is read, and recorded when it is complete.
2. Another client of the same tenant cannot publish or see it.
3. What was not published in time is removed, ciphertext and record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.lifecycle.errors import LimitReached, NotFound
from gateway.lifecycle.evidence import Call
from gateway.lifecycle.guard import Guard
from gateway.lifecycle.ports import Registry, UploadStore
from gateway.lifecycle.records import SealedPayload, Upload
from policies.engine import Decision
from policies.facts import ModelFacts

KEEP_S: Final = 24 * 3600
"""An upload that is not published within a day was given up."""
MAX_WAITING: Final = 32
"""Uploads of a tenant that wait: each may be gigabytes."""
SWEEP: Final = 100
"""Expired uploads that one sweep removes."""


class Uploads:
    """Keeps uploads.

    Args:
        store: Where they are recorded.
        registry: Where the model of an upload is registered.
        remove_payload: Deletes a stored ciphertext; absent is fine.
        guard: Decides and records.
        clock: Unix seconds.
        new_id: Gives unguessable ids.
    """

    def __init__(
        self,
        store: UploadStore,
        registry: Registry,
        remove_payload: Callable[[str], None],
        guard: Guard,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._registry = registry
        self._remove_payload = remove_payload
        self._guard = guard
        self._clock = clock
        self._new_id = new_id

    def admit(self, call: Call, model: str) -> Decision:
        """Decide whether the caller may upload for a model, before any byte is read.

        Raises:
            NotFound: The model is absent.
            Forbidden: Policy says no.
            LimitReached: Too many uploads wait to be published.
        """
        decision = self._guard.require(
            call, "uploadArtifact", self._facts(call, model), model_id=model
        )
        if self._store.count_uploads(call.principal.tenant) >= MAX_WAITING:
            raise LimitReached("too many uploads wait to be published")
        return decision

    def keep(self, call: Call, model: str, decision: Decision, payload: SealedPayload) -> Upload:
        """Record a complete upload.

        Raises:
            EvidenceUnavailable: It could not be recorded, and was removed again.
        """
        now = int(self._clock())
        upload = Upload(
            id=self._new_id(),
            tenant=call.principal.tenant,
            client=call.principal.client_id,
            payload=payload,
            created=now,
            expires=now + KEEP_S,
        )
        try:
            self._guard.record(
                call,
                "uploadArtifact",
                "done",
                decision,
                self._facts(call, model),
                model_id=model,
                model_digest=payload.plain_digest,
                n_in=payload.plain_length,
                reason="upload",
            )
            self._store.add_upload(upload)
        except Exception:
            self._remove_payload(payload.digest)
            raise
        return upload

    def find(self, call: Call, upload_id: str) -> Upload:
        """Return an upload of this very client.

        Raises:
            NotFound: Absent, expired, or another client's.
        """
        upload = self._store.get_upload(call.principal.tenant, upload_id)
        if upload is None or upload.client != call.principal.client_id:
            raise NotFound
        if upload.expires <= self._clock():
            raise NotFound
        return upload

    def spend(self, upload: Upload) -> None:
        """Forget an upload whose payload has become part of a version."""
        self._store.remove_upload(upload.tenant, upload.id)

    def discard(self, upload: Upload) -> None:
        """Forget an upload and delete its payload."""
        self._store.remove_upload(upload.tenant, upload.id)
        self._remove_payload(upload.payload.digest)

    def sweep(self) -> int:
        """Remove uploads that expired; returns how many."""
        expired = self._store.expired_uploads(int(self._clock()), limit=SWEEP)
        for upload in expired:
            self.discard(upload)
        return len(expired)

    def _facts(self, call: Call, name: str) -> ModelFacts:
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            raise NotFound
        return self._guard.model(model)
