"""The audit log: events in, durable and signed, or a refusal.

1. `append` returns only after the event, its place in the tenant's tree and the checkpoint that
   signs it are durable in one transaction. Every other ending is an exception.
2. It fails closed. Full queue, deadline, full disk, broken store: the caller is refused
   (`AuditUnavailable`) and nothing is half applied. Each later batch is a fresh attempt, so the
   log recovers with its store.
3. A tree that went back, contradicts itself, or differs from what was signed before poisons the
   log: it signs nothing any more, and a person must look. `audit.state` is the table of states.
4. What was refused is counted, and the count is written to the platform's tree once the store
   takes events again.
5. Waiting is bounded in events, bytes, tenants and time (`audit.backlog`, `audit.waiters`).

One thread writes. It is started by `start`, so a process may fork before that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

from audit.backlog import Backlog, Limits
from audit.commits import Commits, Item
from audit.errors import (
    AuditUnavailable,
    EventConflict,
    EventInvalid,
    LogEmpty,
    StoreFault,
    SubjectInvalid,
)
from audit.event import (
    PLATFORM_TENANT,
    PRUNE_ACTION,
    Event,
    is_event_id,
    is_subject_ref,
    is_tenant,
)
from audit.fault_log import FaultLog
from audit.heads import Heads
from audit.note import LogSigner, NoteVerifier
from audit.pins import Pins
from audit.ports import Clock, LogStore, RandomBytes, SealedField
from audit.receipt import Receipt
from audit.refusals import Refusals
from audit.sequencing import Pending, prepare
from audit.signers import Signers
from audit.state import APPENDABLE, FIRST, READY, SIGNING, State, moved
from audit.waiters import Answer, Waiter, Waiters

__all__ = ["AuditLog", "Limits", "Receipt", "SealedField"]


class AuditLog:
    """Appends events to the trees of tenants. Safe for threads and event loops.

    Args:
        store: Where the trees are.
        signers: Returns the signer of a tenant's tree (`audit.signers`); called once for each.
        clock: Unix seconds, for the log's own events.
        random_bytes: For the ids of the log's own events.
        limits: Bounds of queue, batch and time.
        pins: Where the newest checkpoints are kept outside the store; None keeps none.
    """

    def __init__(
        self,
        store: LogStore,
        signers: Callable[[str], LogSigner],
        *,
        clock: Clock,
        random_bytes: RandomBytes,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        pins: Pins | None = None,
    ) -> None:
        self._store = store
        self._signer = Signers(signers, store.tree)
        self._clock = clock
        self._limits = limits
        self._heads = Heads(store, self._signer, pins)
        self._commits = Commits(store, self._signer, self._heads)
        self._waiters = Waiters(limits.deadline_seconds)
        self._backlog: Backlog[Item] = Backlog(limits)
        self._lock = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._writer: threading.Thread | None = None
        self._state: State = FIRST
        self._lingering = threading.Lock()  # held until the log is closed
        self._lingering.acquire()
        self._faults = FaultLog()
        self._refusals = Refusals(clock, random_bytes)
        self._unsettled = False
        self._rested = 0.0
        self._writing_since: float | None = None

    @property
    def state(self) -> State:
        """The state that the log is in (`audit.state`)."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether the last write succeeded, and no write takes longer than the deadline."""
        since = self._writing_since
        hangs = since is not None and self._clock() - since > self._limits.deadline_seconds
        return self._state in READY and not hangs

    @property
    def refused(self) -> int:
        """How many events were refused because they could not be recorded, since the start."""
        return self._refusals.total

    @property
    def waiting(self) -> int:
        """How many events wait to be written."""
        return len(self._backlog)

    def start(self) -> None:
        """Check every tree against what was signed before, then take events.

        Raises:
            LogRolledBack: A tree is older or other than its own or its pinned checkpoint.
            StoreFault: The store cannot be read.
            IllegalMove: The log is not closed.
        """
        moved(self._state, "open")  # before the trees are read: not under a running writer
        self._heads.check()
        with self._lock:
            self._move("open")
        self._writer = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Take no more events, write those that wait, pin the heads and end the writer.

        Repeating it is safe. A poisoned log stays poisoned, and pins nothing.
        """
        with self._lock:
            if self._state in APPENDABLE:
                self._move("closed")
        self._bell.put(None)
        if self._lingering.locked():
            self._lingering.release()
        if self._writer is not None:
            self._writer.join(self._limits.deadline_seconds)

    async def append(self, event: Event, sealed: Sequence[SealedField] = ()) -> Receipt:
        """Append an event; it is durable when this returns.

        Repeating it with the same event gives the same receipt. `sealed_commit` is filled in.

        Args:
            event: What happened.
            sealed: Personal fields of subjects that the event names.

        Raises:
            EventInvalid: It breaks a bound, or a sealed field's subject is not named in it.
            EventConflict: Another event has this id.
            AuditUnavailable: It is not known to be durable.
        """
        pending = prepare(event, sealed)
        origin = self._signer(event.tenant).origin
        waiter = self._waiters.of_this_loop()
        try:
            self._enqueue(event.tenant, pending, waiter)
        except AuditUnavailable:
            waiter[1].cancel()  # nobody will await it
            raise
        return Receipt(origin, await waiter[1], event.id)

    def append_blocking(self, event: Event, sealed: Sequence[SealedField] = ()) -> Receipt:
        """Do what `append` does, from a thread that may wait."""
        return self._append_blocking(event.tenant, prepare(event, sealed))

    def rotate_key(self, event: Event, successor: LogSigner) -> Receipt:
        """Record that another key signs, endorsed by the one before, and sign with it from then on.

        It may be repeated with the same id, after any fault too: the key changes once.

        Raises:
            EventInvalid: It is no `audit.succession.ACTION` event, or breaks a bound.
            AuditUnavailable: It is not known to be durable: repeat the call.
        """
        with suppress(EventConflict):
            if (endorsed := self._signer.arrange(event, successor)) is not None:
                return self._append_blocking(event.tenant, prepare(endorsed, (), succession=True))
        if (receipt := self.find(event.tenant, event.id)) is None:
            raise AuditUnavailable
        return receipt

    def _append_blocking(self, tenant: str, pending: Pending) -> Receipt:
        origin = self._signer(tenant).origin
        future: Future[int] = Future()
        self._enqueue(tenant, pending, future)
        try:
            return Receipt(origin, future.result(self._limits.deadline_seconds), pending.event_id)
        except TimeoutError as fault:
            raise AuditUnavailable from fault

    def find(self, tenant: str, event_id: str) -> Receipt | None:
        """Return where an event is in the tenant's tree, or None if it is not durable.

        It asks the store, in every state and before `start`, so it finds what an earlier process
        wrote. It does not see events that still wait.

        Raises:
            StoreFault: The store cannot be read.
        """
        if not (is_tenant(tenant) and is_event_id(event_id)):
            return None
        index = self._store.place(tenant, event_id)
        return None if index is None else Receipt(self.origin(tenant), index, event_id)

    def origin(self, tenant: str) -> str:
        """Return the origin of a tenant's tree."""
        return self._signer(tenant).origin

    def verifier(self, tenant: str) -> NoteVerifier:
        """Return what verifies a tenant's checkpoints; its `vkey` is to be handed out."""
        return self._signer(tenant).verifier

    def verifiers(self, tenant: str) -> tuple[NoteVerifier, ...]:
        """Return what verifies a tenant's checkpoints, and then those of before, newest first."""
        return self._signer(tenant).verifier, *self._signer(tenant).former

    def checkpoint(self, tenant: str) -> bytes:
        """Return the newest signed checkpoint of a tenant's tree.

        Raises:
            LogEmpty: The tenant has no entry yet.
        """
        state = self._store.tree(tenant)
        if state is None:
            raise LogEmpty
        return state.note

    def erase_subject(self, tenant: str, ref: str) -> int:
        """Delete a subject's sealed fields; call it after the event that authorises it.

        Returns:
            How many fields were deleted. Repeating it is safe.

        Raises:
            SubjectInvalid: The reference is malformed.
            ErasureIncomplete: Their bytes are not wiped yet; repeat the call.
        """
        if not is_subject_ref(ref):
            raise SubjectInvalid
        return self._store.erase_sealed(tenant, ref)

    def prune(self, event: Event) -> Receipt:
        """Record an event that authorises pruning, then delete the bodies that it names.

        Repeating it with the same event finishes what was interrupted.

        Raises:
            EventInvalid: It is no `PRUNE_ACTION` event.
            ErasureIncomplete: Deleted but not wiped yet; repeat the call.
        """
        if event.action != PRUNE_ACTION:
            raise EventInvalid
        receipt = self.append_blocking(event)
        self._store.prune(
            event.tenant, [(low, min(high, receipt.index)) for low, high in event.pruned]
        )
        return receipt

    def _enqueue(self, tenant: str, pending: Pending, waiter: Waiter) -> None:
        with self._lock:
            if self._state not in APPENDABLE:
                raise AuditUnavailable
            if not self._backlog.add(tenant, (pending, waiter), len(pending.body)):
                self._refusals.add(1)
                raise AuditUnavailable
            ring, self._asleep = self._asleep, False
        if ring:
            self._bell.put(None)

    def _move(self, to: State) -> None:
        """Change the state, under the lock. Nothing else does."""
        self._state = moved(self._state, to)

    def _run(self) -> None:
        had_batch = False
        while True:
            self._sleep()
            # When several callers are about, wait a moment: more of them share the commit.
            if had_batch or len(self._backlog) > 1:
                self._linger()
            with self._lock:  # read together, so that no accepted event is left behind
                batch = self._backlog.take()
                last = not batch and self._state not in APPENDABLE
            had_batch = sum(map(len, batch.values())) > 1
            now = self._clock()
            # While `_writing_since` is set, `ready` watches the deadline.
            if batch:
                self._writing_since = now
                self._commit(batch)
                self._aside(lambda: self._store.settle(self._limits.settle_events))
                self._writing_since = None
            # Chores come when nothing waits, and now and then under steady load too.
            if not batch or abs(now - self._rested) >= self._limits.idle_seconds:
                self._rested = now
                self._aside(self._do_chores)
            if last:
                return

    def _sleep(self) -> None:
        """Wait until an event comes or the log ends; with chores left, not for long."""
        chores = self._unsettled or self._state == "faulty" or self._refusals.untold > 0
        with self._lock:
            self._asleep = not self._backlog and self._state in APPENDABLE
            if not self._asleep:
                return
        with suppress(Empty):
            self._bell.get(timeout=self._limits.idle_seconds if chores else None)
        self._asleep = False

    def _linger(self) -> None:
        if self._lingering.acquire(timeout=self._limits.linger_seconds):
            self._lingering.release()

    def _commit(self, batch: dict[str, list[Item]]) -> None:
        """Write a batch and answer those who wait for it; on a fault refuse them."""
        try:
            answers = self._write(batch)
        except Exception as fault:
            answers = self._refuse(batch, fault)
        self._waiters.settle(answers)

    def _write(self, batch: dict[str, list[Item]]) -> list[tuple[Waiter, Answer]]:
        answers = self._commits(batch)
        self._unsettled = True
        self._store_works()
        return answers

    def _store_works(self) -> None:
        """Leave `faulty` after a write that succeeded."""
        self._faults.end("audit_store_fault", recovered="audit_store_recovered")
        if self._state == "faulty":
            with self._lock:
                if self._state == "faulty":  # a closed log stays closed
                    self._move("open")

    def _refuse(
        self, batch: dict[str, list[Item]], fault: Exception
    ) -> list[tuple[Waiter, Answer]]:
        """Return refusals for a batch; after a fault that is not the store's, for all."""
        recoverable = isinstance(fault, StoreFault)
        self._faults.begin("audit_store_fault" if recoverable else "audit_log_poisoned", fault)
        items = [item for lane in batch.values() for item in lane]
        with self._lock:
            if not recoverable:
                self._move("poisoned")
                while self._backlog:
                    items += [item for lane in self._backlog.take().values() for item in lane]
            elif self._state == "open":  # a closed log stays closed
                self._move("faulty")
            self._refusals.add(len(items))
        return [(waiter, AuditUnavailable()) for _, waiter in items]

    def _aside(self, work: Callable[[], None]) -> None:
        """Do work that nobody waits for; what it raises is treated like a commit's fault."""
        if self._state not in SIGNING:
            return
        try:
            work()
            self._faults.end("audit_chore_failed")
        except StoreFault as fault:
            self._faults.begin("audit_chore_failed", fault)
        except Exception as fault:
            self._refuse({}, fault)

    def _do_chores(self) -> None:
        """See whether a failed store works again, record the refusals, pin the heads, settle."""
        if self._state == "faulty":
            self._store.probe()
            self._store_works()
        self._record_refused()
        self._heads.pin()
        self._store.settle()
        self._unsettled = False

    def _record_refused(self) -> None:
        with self._lock:
            untold = self._refusals.take()
        if not untold:
            return
        told: Item = (prepare(self._refusals.told(untold), ()), Future())
        try:
            self._write({PLATFORM_TENANT: [told]})
        except BaseException:
            with self._lock:
                self._refusals.give_back(untold)
            raise
