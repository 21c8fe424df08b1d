"""Sealed uploads: received, kept for a while, bound to the client that sent them.

1. An upload is decided before its first byte is read, and again when it is complete: then its
   intent is recorded, and only then its ciphertext gets a name in the store. Of what is not
   recorded as an upload nothing stays.
2. Another client of the same tenant cannot publish, see or discard it.
3. What was not published in time is removed, ciphertext and record; what is being published is not.
4. A tenant's uploads are bounded in number and bytes. The place of one is taken before its first
   byte, so that many at once do not get past the bounds. (Each replica counts those under way
   through itself.)
5. Rows for a batch job are an upload of their own kind, which who may ask the model may send.
   Publishing is decided anew, whatever kind of upload it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Attribution, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details, of_call
from gateway.authorization.records import Pending
from gateway.errors import LimitReached, NotFound, StateConflict
from gateway.pages import every, visible
from gateway.registry.consent import reach, reach_version
from gateway.registry.facts import model_facts, model_resource, version_facts, version_resource
from gateway.registry.ports import Registry, UploadStore
from gateway.registry.records import SealedPayload, Upload
from policies.facts import ModelFacts, ModelVersionFacts

KEEP_S: Final = 24 * 3600
"""An upload that is not published within a day was given up."""
MAX_WAITING: Final = 32
"""Uploads of a tenant that wait: each may be gigabytes."""
MAX_WAITING_BYTES: Final = 16 << 30
"""Of a tenant: eight of the largest models that there are. A single larger upload still fits."""

COMING_SECONDS: Final = 5.0
"""For another look, where all that is in the way are uploads that are coming in."""

ROWS: Final = "rows"
"""Role of an upload that is a file of rows, to ask a model about (`gateway.batch`)."""


class Arrived(Protocol):
    """A complete upload that has no name in the store yet: `gateway.artifacts.upload.Sealing`."""

    @property
    def payload(self) -> SealedPayload:
        """What is to be kept of it."""

    def commit(self) -> None:
        """Store it; durable when it returns, and nothing of it stays when it raises."""

    def discard(self) -> None:
        """Leave nothing of it."""


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
        guard: Decides.
        intents: Begin and end what is recorded.
        clock: Unix seconds.
        new_id: Gives unguessable ids.
    """

    def __init__(
        self,
        store: UploadStore,
        registry: Registry,
        remove_payload: Callable[[str], None],
        guard: Guard,
        intents: Intents,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._registry = registry
        self._remove_payload = remove_payload
        self._guard = guard
        self._intents = intents
        self._clock = clock
        self._new_id = new_id
        self._books = threading.Lock()  # is held while the store is asked
        self._door = threading.Lock()  # is not
        self._coming: list[Place] = []
        self._in_use: set[str] = set()
        intents.register(
            Kind("upload", "uploadArtifact", _details, self._finish_upload),
            Kind("upload_rows", "infer", _details, self._finish_upload),
            Kind("discard", "uploadArtifact", _details, self._finish_discard),
        )

    def admit(
        self, call: Call, model: str, length: int, *, rows: bool = False, version: str | None = None
    ) -> Place:
        """Decide whether the caller may upload for a model, before any byte is read.

        Args:
            call: Who asks.
            model: Model name.
            length: Bytes that will come.
            rows: They are rows to ask the model about.
            version: Which version the rows are for; else the released one.

        Returns:
            The place that is taken until it is given back by `leave`.

        Raises:
            NotFound: The model is absent.
            Forbidden: Policy says no.
            LimitReached: Too many uploads, or too many bytes, wait to be published.
        """
        action, facts = self._asked(call, model, version, rows=rows)
        self._guard.require(call, action, facts, model_id=model)
        place = Place(call.principal.tenant, length)
        with self._books:
            # INVARIANT: looked at before the store, so an upload that is kept now counts somewhere.
            coming = self._lengths_coming(place.tenant)
            waiting = self._store.list_uploads(place.tenant, after="", limit=MAX_WAITING)
            if not _fits(length, [*coming, *(each.payload.plain_length for each in waiting)]):
                raise LimitReached(
                    "too many uploads wait: publish them, or list yours (`sealgate model upload "
                    "list`) and `DELETE /v1/uploads/{id}` what you gave up"
                ).again_in(self._room_in(length, coming, waiting))
            with self._door:
                self._coming.append(place)
        return place

    def _room_in(self, length: int, coming: list[int], waiting: list[Upload]) -> float:
        """Return the seconds until there is room, if nobody publishes or discards an upload."""
        left = sorted(waiting, key=lambda each: each.expires)
        while left:
            oldest = left.pop(0)
            if _fits(length, [*coming, *(each.payload.plain_length for each in left)]):
                return oldest.expires - self._clock()
        return COMING_SECONDS

    def leave(self, place: Place) -> None:
        """Give the place of an upload back: it was kept, or nothing stayed of it. Never blocks."""
        with self._door:
            self._coming.remove(place)

    def keep(
        self, call: Call, model: str, arrived: Arrived, *, version: str | None = None
    ) -> Upload:
        """Decide once more, store and record a complete upload; arguments as of `admit`.

        Raises:
            InvalidToken, NotFound, Forbidden: It may not be kept any more; nothing stays.
            EvidenceUnavailable: It could not be recorded: nothing stays, or it is an upload of
                which nobody knows, and expires.
        """
        now = int(self._clock())
        tenant = call.principal.tenant
        upload = Upload(
            id=self._new_id(),
            tenant=tenant,
            client=call.principal.client_id,
            payload=arrived.payload,
            created=now,
            expires=now + KEEP_S,
        )
        rows = arrived.payload.role == ROWS
        try:
            action, facts = self._asked(call, model, version, rows=rows)
            decision = self._guard.require(call, action, facts, model_id=model)
            row = _row(upload, model)
            if isinstance(facts, ModelVersionFacts):
                row["version"] = facts.version
            kind = "upload_rows" if rows else "upload"
            intent = self._intents.begin(kind, tenant, row, by_call(call, decision))
        except Exception:
            arrived.discard()
            raise
        with intent:
            # INVARIANT: the row names the ciphertext before the store does, so that none is there
            # of which nobody knows.
            arrived.commit()
            self._store.add_upload(upload)
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

    def waiting(self, call: Call, *, after: str, limit: int) -> tuple[list[Upload], str | None]:
        """Return a page of this very client's uploads that wait, and the cursor after it."""
        tenant, now = call.principal.tenant, self._clock()

        def page(after: str, limit: int) -> list[Upload]:
            return self._store.list_uploads(tenant, after=after, limit=limit)

        def mine(upload: Upload) -> bool:
            return upload.client == call.principal.client_id and upload.expires > now

        return visible(page, lambda one: one.id, after, limit, mine)

    @contextmanager
    def using(self, call: Call, *upload_ids: str) -> Iterator[list[Upload]]:
        """Hold uploads of this very client; nobody else uses, discards or sweeps them meanwhile.

        Raises:
            NotFound: One is absent, expired, or another client's.
            StateConflict: One is in use.
        """
        with self._books:
            found = [self.find(call, upload_id) for upload_id in upload_ids]
            # Only now: another client does not learn that there is such an upload.
            if not self._in_use.isdisjoint(upload_ids):
                raise StateConflict("the upload is in use")
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
            by = Attribution(call.principal, details=of_call(call))
            with self._intents.changing("discard", upload.tenant, _row(upload), by):
                self.discard(upload.tenant, upload.id)

    def spend(self, tenant: str, upload_id: str) -> None:
        """Forget an upload whose payload has become part of something; nothing when absent."""
        self._store.remove_upload(tenant, upload_id)

    def discard(self, tenant: str, upload_id: str) -> None:
        """Delete the payload of an upload, then forget it; nothing happens when it is absent.

        INVARIANT: a payload goes only while its upload is recorded. Once it is not, the payload
        may have become part of something (`spend`).
        """
        upload = self._store.get_upload(tenant, upload_id)
        if upload is not None:
            self._remove_payload(upload.payload.digest)
            self._store.remove_upload(tenant, upload_id)

    def sweep(self) -> int:
        """Remove uploads that expired; returns how many."""
        now, count = int(self._clock()), 0

        def page(after: tuple[int, str], limit: int) -> list[Upload]:
            return self._store.expired_uploads(now, after=after, limit=limit)

        for upload in every(page, lambda one: (one.expires, one.id), (-1, "")):
            with self._books:
                in_use = upload.id in self._in_use
            if not in_use:
                self.discard(upload.tenant, upload.id)
                count += 1
        return count

    def _finish_upload(self, pending: Pending) -> Settled:
        """Keep what is recorded; the payload of what is not recorded is removed."""
        if self._store.get_upload(pending.tenant, pending.facts["upload"]) is not None:
            return FINISHED
        self._remove_payload(pending.facts["digest"])
        return UNDONE

    def _finish_discard(self, pending: Pending) -> Settled:
        self.discard(pending.tenant, pending.facts["upload"])
        return FINISHED

    def _lengths_coming(self, tenant: str) -> list[int]:
        with self._door:
            return [place.length for place in self._coming if place.tenant == tenant]

    def _asked(
        self, call: Call, model: str, version: str | None, *, rows: bool
    ) -> tuple[str, ModelFacts | ModelVersionFacts]:
        """Return the action that an upload is for, and about what."""
        if not rows:
            return "uploadArtifact", self._facts(call, model)
        record = reach(self._registry, call.principal.tenant, model, self._clock())
        if record is None:
            self._guard.absent(call, "infer")
        newest = self._registry.current(record.tenant, record.name) if version is None else None
        name = newest.version if newest is not None else version
        found = reach_version(self._registry, record, name) if name is not None else None
        if found is None:
            self._guard.absent(call, "infer")
        return "infer", version_facts(record, found, self._guard.tenant)

    def _facts(self, call: Call, name: str) -> ModelFacts:
        model = self._registry.get_model(call.principal.tenant, name)
        if model is None:
            self._guard.absent(call, "uploadArtifact")
        return model_facts(model, self._guard.tenant)


def _fits(length: int, beside: list[int]) -> bool:
    """Whether an upload has room beside others; a single one has, however large."""
    too_long = bool(beside) and sum(beside) + length > MAX_WAITING_BYTES
    return len(beside) < MAX_WAITING and not too_long


def _row(upload: Upload, model: str = "") -> dict[str, str]:
    return {
        "upload": upload.id,
        "digest": upload.payload.digest,
        "plain_digest": upload.payload.plain_digest,
        "length": str(upload.payload.plain_length),
        "model": model,
    }


def _details(pending: Pending) -> Details:
    facts = pending.facts
    details: Details = {"reason": pending.kind, "model_digest": facts["plain_digest"]}
    if facts["model"]:
        details["model_id"] = facts["model"]
        details["resource"] = model_resource(pending.tenant, facts["model"])
        if version := facts.get("version"):
            details["model_version"] = version
            details["resource"] = version_resource(pending.tenant, facts["model"], version)
        details["n_in"] = int(facts["length"])
    else:
        details["resource"] = f"Tenant::{pending.tenant}"
    return details
