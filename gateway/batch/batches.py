"""What a caller does with batches: start, look, cancel, fetch, delete.

Safety argument:
1. A batch is started by a caller who may `infer` on the version for the purpose; the intent is
   durable before the batch exists. The version is fixed then.
2. A batch belongs to the client that started it: to everybody else it looks absent.
3. A result is handed out to a caller who may have it *now*: `releaseOutput` is decided again, with
   the verdict that was reached, and recorded, before its first byte. It is ciphertext for the key
   that the batch was started with.
4. Jobs, rows and bytes of a tenant are bounded; who reaches a bound is told before anything runs.
5. Cancel and delete are intents that are finished after a crash.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from audit.errors import SubjectInvalid
from audit.sealing import SubjectVault
from gateway.artifacts.age import parse_recipient
from gateway.artifacts.manifest import Manifest, parse_manifest
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Attribution, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details, of_call
from gateway.authorization.records import Pending
from gateway.batch.authority import kept
from gateway.batch.errors import RowsRefused
from gateway.batch.intake import MAX_ROWS_BYTES, rows_of
from gateway.batch.ledger import Ledger
from gateway.batch.ports import BatchStore
from gateway.batch.quota import DAY_S, Quota
from gateway.batch.records import UNFINISHED, Batch, Format, Part, Progress, Usage
from gateway.errors import InvalidRequest, LimitReached, NotFound
from gateway.inference.errors import ModelNotFound
from gateway.inference.routing import Routes, Target
from gateway.pages import visible
from gateway.registry.delivery import recipient_label
from gateway.registry.facts import version_resource
from gateway.registry.records import Upload
from gateway.registry.uploads import ROWS, Uploads
from policies.facts import VerdictFacts

MAX_UNFINISHED: Final = 8
"""Batches of a tenant that wait or run; each may hold a quarter of a gigabyte of rows."""
LOOK_AGAIN_SECONDS: Final = 10.0
"""Nobody knows when a batch ends."""


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """What the caller says about a new batch.

    Attributes:
        version: Or `None` for the released one.
        upload: Id of the upload of the rows.
        recipient: The age public key that results are for.
        subject: The one data subject of all rows, or `None`.
    """

    model: str
    version: str | None
    upload: str
    format: Format
    recipient: str
    subject: str | None = None


class Batches:
    """The batches of callers. Its methods block.

    Args:
        store: Where batches are kept.
        ledger: Changes them.
        uploads: Where the rows come from.
        routes: Finds the version.
        vault: Seals who a batch is about.
        guard: Decides and records.
        intents: Begin and end starts, cancels and deletions.
        quota: What a tenant may have in a day.
        parquet: Whether this gateway reads Parquet.
        clock: Unix seconds.
        new_id: Gives ids that ascend with time.
        wake: Tells the runner that there is work.
    """

    def __init__(
        self,
        store: BatchStore,
        ledger: Ledger,
        uploads: Uploads,
        routes: Routes,
        vault: SubjectVault,
        guard: Guard,
        intents: Intents,
        *,
        quota: Quota,
        parquet: bool,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._uploads = uploads
        self._routes = routes
        self._vault = vault
        self._guard = guard
        self._intents = intents
        self._quota = quota
        self._parquet = parquet
        self._clock = clock
        self._new_id = new_id
        self._wake = wake
        self._books = threading.Lock()
        intents.register(
            Kind("start_batch", "infer", _details, self._finish_start),
            Kind("cancel_batch", "infer", _details, self._finish_cancel),
            Kind("delete_batch", "infer", _details, self._finish_delete),
        )

    def start(self, call: Call, order: BatchOrder) -> Batch:
        """Decide, record the intent and queue the batch.

        Raises:
            NotFound: The model or the upload is absent, or not for this caller.
            InvalidRequest: A field breaks its rule.
            RecipientInvalid: The key is no age public key.
            RowsRefused: The version takes no rows, or the format is not read here.
            LimitReached: A bound of the tenant is reached.
        """
        parse_recipient(order.recipient)
        target = self._target(call, order.model, order.version)
        decision = self._guard.require(call, "infer", target.facts, **_of(target))
        self._check(order, parse_manifest(target.version.manifest))
        with self._uploads.using(call, order.upload) as (upload,):
            self._check_upload(upload)
            batch = self._made(call, order, target, upload)
            by = by_call(call, decision)
            facts = _row(batch) | {"upload": upload.id}
            with self._books:
                room = self._has_room(batch)
                if room:
                    with self._intents.changing("start_batch", batch.tenant, facts, by):
                        self._store.add_batch(batch)
                        self._uploads.spend(batch.tenant, upload.id)
            if not room:  # with the books free: finding out takes some looks at the store
                raise self._used_up(batch)
        self._wake()
        return batch

    def find(self, call: Call, batch_id: str) -> Batch:
        """Return a batch of this very client.

        Raises:
            NotFound: Absent, deleted, or another client's.
        """
        batch = self._store.get_batch(call.principal.tenant, batch_id)
        if batch is None or batch.client != call.principal.client_id or batch.state == "deleted":
            raise NotFound
        return batch

    def progress(self, batch: Batch) -> Progress:
        """Return how far a batch is."""
        return self._store.progress(batch.tenant, batch.id)

    def batches(self, call: Call, *, after: str, limit: int) -> tuple[list[Batch], str | None]:
        """Return a page of the caller's batches, oldest first, and the cursor after it."""
        principal = call.principal

        def page(after: str, limit: int) -> list[Batch]:
            found = self._store.list_batches
            return found(principal.tenant, principal.client_id, after=after, limit=limit)

        return visible(page, lambda b: b.id, after, limit, lambda b: b.state != "deleted")

    def parts(self, call: Call, batch_id: str, *, after: int, limit: int) -> list[Part]:
        """Return the parts of a batch that have ended, by number.

        Raises:
            NotFound: Absent, or another client's.
        """
        batch = self.find(call, batch_id)
        found = self._store.list_parts(batch.tenant, batch.id, after=after, limit=limit)
        return [part for part in found if part.state not in ("waiting", "kept")]

    def fetch(self, call: Call, batch_id: str, number: int) -> Part:
        """Decide and record that the caller gets the result of a part.

        Returns:
            The part; its ciphertext may be sent now.

        Raises:
            NotFound: There is no such result, or no longer, or the model is not for the caller.
            Forbidden: Policy says no.
        """
        batch = self.find(call, batch_id)
        part = self._store.get_part(batch.tenant, batch.id, number)
        if part is None or part.state != "ready":
            raise NotFound
        asked = Call(call.principal, batch.purpose, call.request_id)
        target = self._target(asked, batch.model, batch.version)
        details: Details = {
            **_of(target),
            "reason": "fetch_batch",
            "recipient": recipient_label(batch.recipient),
            "subject_refs": part.refs,
            "n_out": part.length,
        }
        if not part.event:  # it holds reasons only
            self._guard.permit(asked, "infer", target.facts, **details)
            return part
        # Looks at the caller anew, too: `decide` alone does not.
        self._guard.require(asked, "infer", target.facts, **details)
        verdict = VerdictFacts(outcome=part.outcome, rules=frozenset(part.rules))
        decision = self._guard.decide(asked, "releaseOutput", target.facts, verdict=verdict)
        if not decision.allowed:
            self._guard.refuse(asked, "releaseOutput", target.facts, decision, **details)
        self._guard.record(asked, "releaseOutput", "allow", decision, target.facts, **details)
        return part

    def cancel(self, call: Call, batch_id: str) -> Batch:
        """Stop a batch; what it has answered stays for a while. One that has ended stays as it is.

        Raises:
            NotFound: Absent, or another client's.
            StateConflict: It ended meanwhile.
        """
        batch = self.find(call, batch_id)
        if batch.state not in UNFINISHED:
            return batch
        by = Attribution(call.principal, details=of_call(call))
        with self._intents.changing("cancel_batch", batch.tenant, _row(batch), by):
            return self._ledger.end(batch, "cancelled")

    def delete(self, call: Call, batch_id: str) -> None:
        """Throw away a batch with its rows and results; one that runs is stopped.

        Raises:
            NotFound: Absent, or another client's.
        """
        batch = self.find(call, batch_id)
        by = Attribution(call.principal, details=of_call(call))
        with self._intents.changing("delete_batch", batch.tenant, _row(batch), by):
            self._ledger.delete(batch)

    def rows_left(self, tenant: str) -> int:
        """Return how many rows a tenant may still have taken in today."""
        since = int(self._clock()) - DAY_S
        return max(0, self._quota.rows - self._store.usage(tenant, since).rows)

    def used(self, tenant: str) -> tuple[Usage, Quota]:
        """Return what a tenant has used up today, and what it may."""
        return self._store.usage(tenant, int(self._clock()) - DAY_S), self._quota

    def _target(self, call: Call, model: str, version: str | None) -> Target:
        try:
            return self._routes.resolve(call.principal.tenant, model, version)
        except ModelNotFound:
            self._guard.absent(call, "infer")

    def _check(self, order: BatchOrder, manifest: Manifest) -> None:
        rows_of((*manifest.inputs, *manifest.outputs))
        if order.format == "parquet" and not self._parquet:
            raise RowsRefused("no_parquet")

    def _check_upload(self, upload: Upload) -> None:
        if upload.payload.role != ROWS:
            raise InvalidRequest("`upload` must be one of rows: POST /v1/uploads?use=rows")
        if upload.payload.plain_length > MAX_ROWS_BYTES:
            raise RowsRefused("too_large")

    def _has_room(self, batch: Batch) -> bool:
        used = self._store.usage(batch.tenant, batch.created - DAY_S)
        if used.unfinished >= MAX_UNFINISHED:
            raise LimitReached(
                f"{MAX_UNFINISHED} batches of this tenant wait or run: let one end, or cancel one"
            ).again_in(LOOK_AGAIN_SECONDS)
        return self._quota.fits(used, batch.length)

    def _used_up(self, batch: Batch) -> LimitReached:
        """Say when there is room again for a file."""
        usage = partial(self._store.usage, batch.tenant)
        opens = self._quota.opens(usage, batch.length, batch.created)
        if opens is None:
            return LimitReached(
                "the file has more bytes than this tenant may have in 24 hours: split it, or ask "
                "the operator (`batch_bytes_a_day`)"
            )
        at = datetime.fromtimestamp(opens, UTC).isoformat().replace("+00:00", "Z")
        return LimitReached(
            f"the rows or bytes of this tenant for 24 hours are used up; try again at {at}, or "
            "ask the operator (`batch_rows_a_day`, `batch_bytes_a_day`)"
        ).again_in(opens - self._clock())

    def _made(self, call: Call, order: BatchOrder, target: Target, upload: Upload) -> Batch:
        now, batch_id = int(self._clock()), self._new_id()
        tenant, ref, sealed = call.principal.tenant, "", b""
        if order.subject is not None:
            try:
                ref = self._vault.ref(tenant, order.subject)
            except SubjectInvalid as fault:
                raise InvalidRequest("`subject` must be 1 to 512 characters") from fault
            sealed = self._vault.seal(tenant, ref, order.subject.encode(), batch_id)
        return Batch(
            id=batch_id,
            tenant=tenant,
            client=call.principal.client_id,
            authority=kept(call.principal),
            model=target.model.called,
            version=target.version.version,
            purpose=call.purpose or "",
            format=order.format,
            recipient=order.recipient,
            source=upload.payload,
            created=now,
            expires=now + self._ledger.keep_seconds,
            length=upload.payload.plain_length,
            subject_ref=ref,
            subject_sealed=sealed,
        )

    def _finish_start(self, pending: Pending) -> Settled:
        if self._store.get_batch(pending.tenant, pending.facts["batch"]) is None:
            return UNDONE
        self._uploads.spend(pending.tenant, pending.facts["upload"])
        return FINISHED

    def _finish_cancel(self, pending: Pending) -> Settled:
        batch = self._store.get_batch(pending.tenant, pending.facts["batch"])
        if batch is None or batch.state not in (*UNFINISHED, "cancelled"):
            return UNDONE
        self._ledger.end(batch, "cancelled")
        return FINISHED

    def _finish_delete(self, pending: Pending) -> Settled:
        batch = self._store.get_batch(pending.tenant, pending.facts["batch"])
        if batch is not None:
            self._ledger.delete(batch)
        return FINISHED


def _row(batch: Batch) -> dict[str, str]:
    return {
        "batch": batch.id,
        "model": batch.model,
        "version": batch.version,
        "recipient": recipient_label(batch.recipient),
        "subject": batch.subject_ref,
    }


def _of(target: Target) -> Details:
    return {"model_id": target.model.called, "model_version": target.version.version}


def _details(pending: Pending) -> Details:
    facts = pending.facts
    model, version = facts["model"], facts["version"]
    return {
        "reason": pending.kind,
        "model_id": model,
        "model_version": version,
        "recipient": facts["recipient"],
        "resource": version_resource(pending.tenant, model, version),
        "subject_refs": (facts["subject"],) if facts["subject"] else (),
        "request_id": facts["batch"],
    }
