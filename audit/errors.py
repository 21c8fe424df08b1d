"""The error tree of the audit log.

AuditError
├── EventInvalid           the event cannot be written as it is
├── EventConflict          its id is taken by an event of other content
├── AuditUnavailable       it is not (known to be) durable: refuse what depends on it
├── LogEmpty               the tenant has no entry yet
├── EntryUnknown           no such entry, tile or tree size
├── EntryTampered          stored bytes do not match the signed tree
├── LogRolledBack          the tree is older than what was signed before, or differs from it
├── NoteInvalid            a signed note, checkpoint or verifier key is malformed or forged
├── ProofInvalid           a Merkle proof does not hold
├── SubjectInvalid         a subject identifier or reference is malformed
├── SubjectErased          the subject's key is gone, or never was
├── SealInvalid            sealed bytes are not what was sealed for this subject and event
├── KeyUnavailable         the tenant's key is destroyed, disabled or unknown
├── ErasureIncomplete      deleted, but not yet wiped from the write-ahead log: try again
└── StoreFault             the store failed; a later attempt may succeed
    └── DuplicateEvent     an event id is already in the tree

IllegalMove stands outside the tree: it is a mistake in the program, never an answer to a caller.

Nothing here knows HTTP. `public` never repeats what a caller sent.
"""

from __future__ import annotations

from typing import ClassVar


class AuditError(Exception):
    """Base of every error that the audit log raises on purpose.

    Args:
        message: Public text: lowercase, no full stop, nothing that a caller sent.

    Attributes:
        retry_after: Whole seconds after which it is worth another try; empty where waiting alone
            does not help.
    """

    code: ClassVar[str] = "audit"
    message: ClassVar[str] = "the audit log could not do this"
    retry_after: str = ""

    def __init__(self, message: str | None = None) -> None:
        self.public = message or type(self).message
        super().__init__(self.public)


class EventInvalid(AuditError):
    """The event has a field that is too long, of another type, or malformed."""

    code = "event_invalid"
    message = "the audit event is malformed or too large"


class EventConflict(AuditError):
    """An event with this id and other content is in the log already."""

    code = "event_conflict"
    message = "this event id is taken by another event"


class AuditUnavailable(AuditError):
    """The event is not known to be durable; whatever depends on it must be refused.

    It may still turn up in the log: repeating the append with the same event id is safe.
    """

    code = "audit_unavailable"
    message = "the audit log cannot record this now"
    retry_after = "1"


class LogEmpty(AuditError):
    """The tenant has no entry, and so no checkpoint, yet."""

    code = "log_empty"
    message = "the log has no entry yet"


class EntryUnknown(AuditError):
    """The log has no such entry, tile or size."""

    code = "entry_unknown"
    message = "the log has no such entry"


class EntryTampered(AuditError):
    """Stored bytes do not match the signed tree.

    Attributes:
        origin: The log's origin.
        index: The first entry that does not match.
        what: What differs, such as "leaf hash" or "index column".
    """

    code = "entry_tampered"

    def __init__(self, origin: str, index: int, what: str) -> None:
        self.origin = origin
        self.index = index
        self.what = what
        super().__init__(f"entry {origin}/{index} does not match the signed tree: {what}")


class LogRolledBack(AuditError):
    """The stored tree is smaller than, or differs from, one that was signed before."""

    code = "log_rolled_back"
    message = "the stored log is older or other than what was signed before"


class NoteInvalid(AuditError):
    """A signed note, checkpoint or verifier key is malformed, or its signature is wrong."""

    code = "note_invalid"
    message = "the signed note is malformed or not signed by the expected key"


class ProofInvalid(AuditError):
    """A Merkle proof is malformed or does not lead to the expected root."""

    code = "proof_invalid"
    message = "the proof does not hold"


class SubjectInvalid(AuditError):
    """A subject identifier or reference is empty, too long or not text."""

    code = "subject_invalid"
    message = "the subject identifier is malformed"


class SubjectErased(AuditError):
    """The subject has no key: erased, or never known. The two look alike."""

    code = "subject_erased"
    message = "the subject is not known"


class SealInvalid(AuditError):
    """Sealed bytes were not sealed for this tenant, subject and event."""

    code = "seal_invalid"
    message = "the sealed field cannot be opened"


class KeyUnavailable(AuditError):
    """The tenant's key is destroyed, disabled or unknown."""

    code = "key_unavailable"
    message = "the key is not available"


class ErasureIncomplete(AuditError):
    """Rows are deleted, but their bytes may still be in the write-ahead log: repeat the call."""

    code = "erasure_incomplete"
    message = "the erasure is not complete yet"
    retry_after = "1"


class StoreFault(AuditError):
    """The store failed (disk full, input/output error, lock). Nothing was half applied."""

    code = "store_fault"
    message = "the audit store failed"
    retry_after = "1"


class DuplicateEvent(StoreFault):
    """A transaction inserts an event id that is already in that tree."""

    code = "duplicate_event"
    message = "an event id is already in the tree"
    retry_after = ""


class IllegalMove(RuntimeError):
    """The table in `audit.state` has no such move: the program used the log wrongly."""

    def __init__(self, state: str, to: str) -> None:
        super().__init__(f"a log that is {state} cannot become {to}")
