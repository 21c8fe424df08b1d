"""One way to make a change that evidence must cover: row, intent, change, result, row away.

Safety argument:
1. The row is durable first, then the recorded intent, then the change, then the recorded result,
   and at last the row goes away. Whatever moment a process is killed at, the next one finds the
   row of everything that it must look at.
2. A row has the id of its intent's event, and the id of the result follows from it: a result is in
   the log once, however often it is written.
3. At the next start every row is settled before the process is ready. An intent that is not in the
   log began nothing. One whose result is in the log has ended. Every other one is given to the
   finisher of its kind, which finishes the change or undoes it and says which; that is recorded.
4. A refusal (`gateway.errors.Refusal`) promises that nothing was changed, and is recorded so. After
   any other fault nobody knows: the finisher is asked at once.
5. What cannot be ended is left: the row stays, and `settle_left` tries again while the process
   runs. What this process knows of it is recorded as it is; else the finisher is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Unpack

import structlog

from audit.errors import EventConflict
from audit.event import Outcome
from audit.log import Receipt
from gateway.authorization.event_ids import derived_id
from gateway.authorization.kinds import TOLD, UNDONE, Attribution, Kind
from gateway.authorization.ports import PendingStore
from gateway.authorization.recorder import Details, Recorder
from gateway.authorization.records import Pending
from gateway.errors import ConfigurationError, Refusal
from gateway.pages import every
from policies.errors import PolicyError


@dataclass(frozen=True, slots=True)
class _Left:
    """A change that could not be ended.

    Attributes:
        how: How it ended, where that is known; None: the finisher is to be asked.
        sent: Whether its intent was given to the log.
    """

    pending: Pending
    by: Attribution
    how: tuple[Outcome, Details] | None
    sent: bool = True


class Intent:
    """A change under way: its row and its intent are durable.

    As a context manager it ends with the block that makes the change.

    Args:
        intents: Where it came from.
        pending: Its row.
        by: Who makes it.
    """

    def __init__(self, intents: Intents, pending: Pending, by: Attribution) -> None:
        self._intents = intents
        self._by = by
        self.pending = pending

    def __enter__(self) -> Intent:
        return self

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if fault is None:
            self.done()
        elif isinstance(fault, (Refusal, PolicyError)):
            self.failed(fault.code)
        elif isinstance(fault, Exception):
            self.unknown()

    @property
    def id(self) -> str:
        """The id of the intent's event."""
        return self.pending.id

    def done(self, **details: Unpack[Details]) -> Receipt:
        """Record that the change was made, and forget the row.

        Raises:
            EvidenceUnavailable: It could not be recorded: the change must not be acknowledged.
        """
        return self._intents.end(self.pending, self._by, "done", **details)

    def failed(self, code: str, **details: Unpack[Details]) -> Receipt:
        """Record that nothing was changed, or that all was undone, and forget the row.

        Args:
            code: Why, as a stable code.
            **details: For the record.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        ended: Details = {**details, "reason": code}
        return self._intents.end(self.pending, self._by, "error", **ended)

    def unknown(self) -> None:
        """Ask the finisher of its kind how it ended, now or as soon as it can tell."""
        self._intents.settle_soon(self.pending, self._by)


class Intents:
    """Begins changes, ends them, and settles those that were cut off.

    Args:
        store: Keeps the rows.
        recorder: Makes intents and results durable.
        clock: Unix seconds.
    """

    def __init__(self, store: PendingStore, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._kinds: dict[str, Kind] = {}
        self._lock = threading.Lock()
        self._left: dict[str, _Left] = {}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every registered kind."""
        return tuple(self._kinds.values())

    def register(self, *kinds: Kind) -> None:
        """Take in kinds of changes, before the first of them begins."""
        for kind in kinds:
            assert kind.name not in self._kinds, kind.name
            self._kinds[kind.name] = kind

    def begin(self, kind: str, tenant: str, facts: Mapping[str, str], by: Attribution) -> Intent:
        """Make row and intent durable; the caller makes the change, then ends the intent.

        Args:
            kind: Name of a registered kind.
            tenant: In whose log it is recorded.
            facts: What its finisher needs: names and references, never personal data.
            by: Who makes the change.

        Raises:
            EvidenceUnavailable: It could not be recorded: nothing may be changed.
        """
        pending = Pending(self._recorder.new_id(), tenant, kind, facts, int(self._clock()))
        never = UNDONE.outcome, Details(reason=UNDONE.reason)
        left = _Left(pending, by, never, sent=False)  # perhaps there is a row
        try:
            self._store.add_pending(pending)
            left = _Left(pending, by, never)  # perhaps it becomes durable yet
            self._write_once(pending, by, "allow", id=pending.id, phase="intent")
        except Exception:
            self._leave(left)
            raise
        return Intent(self, pending, by)

    @contextmanager
    def changing(
        self, kind: str, tenant: str, facts: Mapping[str, str], by: Attribution
    ) -> Iterator[Intent]:
        """Begin a change, let the block make it, record how it ended; arguments as of `begin`.

        Raises:
            EvidenceUnavailable: The intent could not be recorded, so the block did not run; or the
                result could not, so the change was made and must not be acknowledged.
        """
        with self.begin(kind, tenant, facts, by) as intent:
            yield intent

    def end(
        self, pending: Pending, by: Attribution, outcome: Outcome, **details: Unpack[Details]
    ) -> Receipt:
        """Record a result and forget the row; see `Intent`.

        Raises:
            EvidenceUnavailable: It could not be recorded; the row stays.
        """
        receipt = self._record_end(pending, by, outcome, **details)
        try:
            self._store.remove_pending(pending.tenant, pending.id)
        except Exception as fault:
            # It has ended, and may be acknowledged: only the row is left.
            _warn(pending, fault)
            self._leave(_Left(pending, by, (outcome, details)))
        return receipt

    def unfinished(self, kind: str, tenant: str) -> Iterator[Pending]:
        """Yield the rows of a kind and tenant."""
        for pending in self._rows():
            if (pending.kind, pending.tenant) == (kind, tenant):
                yield pending

    def settle_all(self) -> int:
        """Settle what an earlier process left; returns how much there was. Blocks.

        Raises:
            ConfigurationError: A row is of a kind that this release does not know.
            SealgateError: A row could not be settled: the process must not become ready.
        """
        count = 0
        for pending in self._rows():
            count += 1
            if pending.kind not in self._kinds:
                raise ConfigurationError(
                    "the data folder holds an unfinished change of a newer release",
                    "start the newer release once more, or restore a backup",
                )
            if self._recorder.find(pending.tenant, pending.id) is None:
                self._store.remove_pending(pending.tenant, pending.id)
            else:
                self._settle(pending, Attribution(), None)
        return count

    def settle_left(self) -> None:
        """Try again to settle what this process could not end. Blocks.

        Raises:
            Exception: One could not be settled; it is tried again the next time, as are all such.
        """
        first: Exception | None = None
        for left in list(self._left.values()):
            try:
                self._settle_left(left)
            except Exception as fault:
                first = first or fault
            else:
                with self._lock:
                    self._left.pop(left.pending.id, None)
        if first is not None:
            raise first

    def settle_soon(self, pending: Pending, by: Attribution) -> None:
        """Settle a change after a fault, now or by `settle_left`."""
        try:
            self._settle(pending, by, None)
        except Exception as fault:
            _warn(pending, fault)
            with self._lock:
                # What is known stays: `end` has left it if it was only not recorded.
                self._left.setdefault(pending.id, _Left(pending, by, None))

    def _settle_left(self, left: _Left) -> None:
        pending = left.pending
        if not left.sent:
            self._store.remove_pending(pending.tenant, pending.id)
            return
        if self._recorder.find(pending.tenant, pending.id) is None:
            # It may be on its way to the log still: when this returns it is there, once.
            self._write_once(pending, left.by, "allow", id=pending.id, phase="intent")
        self._settle(pending, left.by, left.how)

    def _settle(
        self, pending: Pending, by: Attribution, how: tuple[Outcome, Details] | None
    ) -> None:
        if self._recorder.find(pending.tenant, result_id(pending)) is None:
            if how is None:
                settled = self._kinds[pending.kind].finish(pending)
                how = settled.outcome, Details(reason=settled.reason)
            outcome, details = how
            self._record_end(pending, by, outcome, **details)
        self._store.remove_pending(pending.tenant, pending.id)

    def _record_end(
        self, pending: Pending, by: Attribution, outcome: Outcome, **details: Unpack[Details]
    ) -> Receipt:
        try:
            if outcome == "done" and (told := pending.facts.get(TOLD)):
                # Before the result: where there is a result, the tenant has been told.
                self._tell(told, pending, by, **details)
            return self._write_result(pending, by, outcome, **details)
        except Exception:
            self._leave(_Left(pending, by, (outcome, details)))
            raise

    def _write_result(
        self, pending: Pending, by: Attribution, outcome: Outcome, **details: Unpack[Details]
    ) -> Receipt:
        ended: Details = {
            **details,
            "id": result_id(pending),
            "phase": "result",
            "intent_id": pending.id,
        }
        try:
            return self._write(pending, by, outcome, **ended)
        except EventConflict:
            known = self._recorder.find(pending.tenant, result_id(pending))
            assert known is not None, "an event that conflicts is in the log"
            return known

    def _tell(
        self, whom: str, pending: Pending, by: Attribution, **details: Unpack[Details]
    ) -> None:
        """Let a tenant find in its own log what was done to it."""
        told: Details = {
            **details,
            "id": derived_id(f"sealgate told\n{pending.id}"),
            "tenant": whom,
        }
        kind = self._kinds[pending.kind]
        if kind.told is not None:
            by, told = Attribution(), {**told, **kind.told(pending)}
        self._write_once(pending, by, "done", **told)

    def _write_once(
        self, pending: Pending, by: Attribution, outcome: Outcome, **details: Unpack[Details]
    ) -> None:
        """Write an event that may be in the log already."""
        try:
            self._write(pending, by, outcome, **details)
        except EventConflict:
            structlog.get_logger().info("event_known", intent=pending.id)

    def _write(
        self, pending: Pending, by: Attribution, outcome: Outcome, **details: Unpack[Details]
    ) -> Receipt:
        kind = self._kinds[pending.kind]
        fields: Details = {
            "tenant": pending.tenant,
            **by.details,
            **kind.details(pending),
            **details,
        }
        event = self._recorder.event_for(by.principal, kind.action, outcome, by.decision, **fields)
        return self._recorder.write(event)

    def _rows(self) -> Iterator[Pending]:
        def page(after: tuple[int, str], limit: int) -> list[Pending]:
            return self._store.list_pending(after=after, limit=limit)

        return every(page, lambda pending: (pending.at, pending.id), (-1, ""))

    def _leave(self, left: _Left) -> None:
        with self._lock:
            self._left[left.pending.id] = left


def _warn(pending: Pending, fault: Exception) -> None:
    structlog.get_logger().warning(
        "intent_left", kind=pending.kind, intent=pending.id, fault=type(fault).__name__
    )


def result_id(pending: Pending) -> str:
    """Return the id of the event that records how a change ended."""
    return derived_id(f"sealgate result\n{pending.id}")
