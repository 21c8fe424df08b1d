"""The audit log as officers read it: verified bytes only, and reading is recorded too.

Each search, entry, bundle of entries and export leaves an event, and so does each following of the
log: one, so that it does not grow by being watched. Checkpoints, tiles and proofs hold
hashes only: they are decided but leave none, so that following a log does not make it grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from audit.errors import EntryUnknown, LogEmpty
from audit.event import PRUNE_ACTION
from audit.export import ExportSummary, export_log
from audit.log import AuditLog
from audit.ports import Filter
from audit.reader import ConsistencyProof, Entry, InclusionProof, LogReader
from audit.tiles import TileAddress
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import CATEGORIES, Call, Details
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest, NotFound
from policies.facts import AuditLogFacts

ACTIONS: Final = frozenset(CATEGORIES) | {PRUNE_ACTION, "recordGap"}
"""Actions of events: of the gateway, and of the log itself."""
PAGE: Final = 200
"""Events of one answer: about a kilobyte and half a millisecond of hashing each."""


class AuditAccess:
    """Reads the log of the caller's own tenant.

    Args:
        log: Knows origins and keys.
        reader: Reads verified events.
        guard: Decides and records.
        intents: Begin and end what has a result.
    """

    def __init__(self, log: AuditLog, reader: LogReader, guard: Guard, intents: Intents) -> None:
        self._log = log
        self._reader = reader
        self._guard = guard
        self._intents = intents
        intents.register(Kind("export", "exportAudit", _details, _finish_export))

    def search(
        self, call: Call, where: Filter, *, cursor: int | None, limit: int, newest: bool
    ) -> list[Entry]:
        """Return events that fit, in the order of the log or newest first.

        Args:
            call: Who asks.
            where: What to find.
            cursor: Index of the last entry of the page before; None at the beginning.
            limit: Most events to return.
            newest: Newest first.

        Raises:
            InvalidRequest: No event has such an action.
            Forbidden: Policy says no.
            EntryTampered: The log does not match what was signed.
        """
        _check_action(where.action)
        self._guard.permit(call, "reviewAudit", self._facts(call), reason="search")
        tenant, limit = call.principal.tenant, min(limit, PAGE)
        if newest and cursor is not None:
            return self._reader.search(tenant, where, before=cursor, limit=limit, newest=True)
        after = -1 if cursor is None else cursor
        return self._reader.search(tenant, where, after=after, limit=limit, newest=newest)

    def follow(self, call: Call, where: Filter) -> Callable[[int], list[Entry]]:
        """Begin to follow the log: recorded once, however often one looks.

        Args:
            call: Who asks.
            where: What to find.

        Returns:
            What returns the next events after an index, in the order of the log; it decides anew
            each time, and raises as this does.

        Raises:
            InvalidRequest: No event has such an action.
            Forbidden: Policy says no.
            EntryTampered: The log does not match what was signed.
        """
        _check_action(where.action)
        facts, tenant = self._facts(call), call.principal.tenant
        self._guard.permit(call, "reviewAudit", facts, reason="follow")

        def look(after: int) -> list[Entry]:
            self._guard.require(call, "reviewAudit", facts, reason="follow")
            return self._reader.search(tenant, where, after=after, limit=PAGE, newest=False)

        return look

    def entry(self, call: Call, index: int) -> Entry:
        """Return one event.

        Raises:
            NotFound: There is none.
            Forbidden: Policy says no.
            EntryTampered: It does not match what was signed.
        """
        self._guard.permit(call, "reviewAudit", self._facts(call), reason="entry")
        with _absent_is_not_found():
            return self._reader.entry(call.principal.tenant, index)

    def keys(self, call: Call) -> tuple[str, ...]:
        """Return the verifier keys of the log (C2SP signed-note): what signs, then those before it.

        Raises:
            Forbidden: Policy says no.
        """
        self._guard.require(call, "reviewAudit", self._facts(call), reason="key")
        return tuple(key.vkey for key in self._log.verifiers(call.principal.tenant))

    def checkpoint(self, call: Call, origin: str | None) -> bytes:
        """Return the newest signed checkpoint.

        Raises:
            NotFound: `origin` is not the caller's log, or the log is empty.
            Forbidden: Policy says no.
        """
        self._guard.require(call, "reviewAudit", self._facts(call), reason="checkpoint")
        if origin is not None and origin != self._log.origin(call.principal.tenant):
            raise NotFound
        with _absent_is_not_found():
            return self._reader.checkpoint(call.principal.tenant)

    def proof(self, call: Call, index: int) -> InclusionProof:
        """Return the proof that an entry is in the log.

        Raises:
            NotFound: There is no such entry.
            Forbidden: Policy says no.
        """
        self._guard.require(call, "reviewAudit", self._facts(call), reason="proof")
        with _absent_is_not_found():
            return self._reader.proof(call.principal.tenant, index)

    def consistency(self, call: Call, old_size: int) -> ConsistencyProof:
        """Return the proof that the log grew out of its first entries.

        Raises:
            NotFound: The log is smaller than that.
            Forbidden: Policy says no.
        """
        self._guard.require(call, "reviewAudit", self._facts(call), reason="consistency")
        with _absent_is_not_found():
            return self._reader.consistency(call.principal.tenant, old_size)

    def tile(self, call: Call, address: TileAddress) -> bytes:
        """Return a tile of hashes, or a bundle of entries, which is recorded.

        Raises:
            NotFound: The tree has no such tile.
            Forbidden: Policy says no.
        """
        facts = self._facts(call)
        if address.level is None:
            self._guard.permit(call, "exportAudit", facts, reason="entries")
        else:
            self._guard.require(call, "reviewAudit", facts, reason="tile")
        with _absent_is_not_found():
            return self._reader.tile(call.principal.tenant, address)

    def export(self, call: Call, out: BinaryIO) -> ExportSummary:
        """Write the whole log as one file that proves itself.

        Raises:
            Forbidden: Policy says no.
            EvidenceUnavailable: The export could not be recorded.
        """
        facts = self._facts(call)
        decision = self._guard.require(call, "exportAudit", facts)
        tenant = call.principal.tenant
        with self._intents.changing("export", tenant, {}, by_call(call, decision)):
            return export_log(self._reader, tenant, out)

    def _facts(self, call: Call) -> AuditLogFacts:
        return AuditLogFacts(tenant=self._guard.tenant(call.principal.tenant))


def _check_action(action: str | None) -> None:
    """Refuse a search that can find nothing: who searches would take it for "nothing happened"."""
    if action is not None and action not in ACTIONS:
        raise InvalidRequest("`action` is none that is recorded").among("action", ACTIONS)


def _finish_export(_: Pending) -> Settled:
    """An export changes nothing; one that was cut off did not reach its reader."""
    return UNDONE


def _details(pending: Pending) -> Details:
    return {"resource": f"AuditLog::{pending.tenant}"}


@contextmanager
def _absent_is_not_found() -> Iterator[None]:
    try:
        yield
    except (EntryUnknown, LogEmpty) as cause:
        raise NotFound from cause
