"""Sealed uploads: received, kept for a while, bound to the client that sent them.

1. An upload is decided before its first byte is read, and again when it is complete: then it is
   recorded and kept, or nothing of it stays.
2. Another client of the same tenant cannot publish, see or discard it.
3. What was not published in time is removed, ciphertext and record; what is being published is not.
4. A tenant's uploads are bounded in number and bytes. The place of one is taken before its first
   byte, so that many at once do not get past the bounds. (Each replica counts those under way
   through itself.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import LimitReached, NotFound, StateConflict
from gateway.registry.ports import Registry, UploadStore
from gateway.registry.records import SealedPayload, Upload
from policies.facts import ModelFacts

KEEP_S: Final = 24 * 3600
"""An upload that is not published within a day was given up."""
MAX_WAITING: Final = 32
"""Uploads of a tenant that wait: each may be gigabytes."""
MAX_WAITING_BYTES: Final = 16 << 30
"""Of a tenant: eight of the largest models that there are. A single larger upload still fits."""
SWEEP: Final = 100
"""Expired uploads that one sweep removes."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """The place of an upload that is coming in."""

    tenant: str
    length: int


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
        self._books = threading.Lock()  # is held while the store is asked
        self._door = threading.Lock()  # is not
        self._coming: list[Place] = []
        self._in_use: set[str] = set()

    def admit(self, call: Call, model: str, length: int) -> Place:
        """Decide whether the caller may upload for a model, before any byte is read.

        Args:
            call: Who asks.
            model: Model name.
            length: Bytes that will come.

        Returns:
            The place that is taken until it is given back by `leave`.

        Raises:
            NotFound: The model is absent.
            Forbidden: Policy says no.
            LimitReached: Too many uploads, or too many bytes, wait to be published.
        """
        self._guard.require(call, "uploadArtifact", self._facts(call, model), model_id=model)
        place = Place(call.principal.tenant, length)
        with self._books:
            # INVARIANT: looked at before the store, so an upload that is kept now counts somewhere.
            lengths = self._lengths_coming(place.tenant)
            waiting = self._store.list_uploads(place.tenant, after="", limit=MAX_WAITING)
            lengths += [upload.payload.plain_length for upload in waiting]
            too_long = bool(lengths) and sum(lengths) + length > MAX_WAITING_BYTES
            if len(lengths) >= MAX_WAITING or too_long:
                raise LimitReached(
                    "too many uploads wait: publish them, or `DELETE /v1/uploads/{id}` yours"
                )
            with self._door:
                self._coming.append(place)
        return place

    def leave(self, place: Place) -> None:
        """Give the place of an upload back: it was kept, or nothing stayed of it. Never blocks."""
        with self._door:
            self._coming.remove(place)

    def keep(self, call: Call, model: str, payload: SealedPayload) -> Upload:
        """Decide once more, and record a complete upload.

        Raises:
            InvalidToken, NotFound, Forbidden: It may not be kept any more, and was removed.
            EvidenceUnavailable: It could not be recorded, and was removed.
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
            facts = self._facts(call, model)
            decision = self._guard.require(call, "uploadArtifact", facts, model_id=model)
            self._guard.record(
                call,
                "uploadArtifact",
                "done",
                decision,
                facts,
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

    @contextmanager
    def using(self, call: Call, *upload_ids: str) -> Iterator[list[Upload]]:
        """Hold uploads of this very client; nobody else uses, discards or sweeps them meanwhile.

        Raises:
            NotFound: One is absent, expired, or another client's.
            StateConflict: One is in use.
        """
        with self._books:
            if not self._in_use.isdisjoint(upload_ids):
                raise StateConflict("the upload is in use")
            found = [self.find(call, upload_id) for upload_id in upload_ids]
            self._in_use.update(upload_ids)
        try:
            yield found
        finally:
            with self._books:
                self._in_use.difference_update(upload_ids)

    def give_up(self, call: Call, upload_id: str) -> None:
        """Discard an upload of this very client, recorded.

        Raises:
            NotFound: Absent, expired, or another client's.
            StateConflict: It is being published.
            EvidenceUnavailable: It could not be recorded; nothing was done.
        """
        with self.using(call, upload_id) as (upload,):
            self._guard.record(
                call,
                "uploadArtifact",
                "done",
                None,
                self._guard.tenant(upload.tenant),
                model_digest=upload.payload.plain_digest,
                reason="discard",
            )
            self.discard(upload)

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
        with self._books:
            unused = [upload for upload in expired if upload.id not in self._in_use]
        for upload in unused:
            self.discard(upload)
        return len(unused)

    def _lengths_coming(self, tenant: str) -> list[int]:
        with self._door:
            return [place.length for place in self._coming if place.tenant == tenant]

    def _facts(self, call: Call, name: str) -> ModelFacts:
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            raise NotFound
        return self._guard.model(model)
