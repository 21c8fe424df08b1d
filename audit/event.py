"""The audit event: what is recorded, in which bytes, within which bounds.

1. The bytes that `encode` returns are what is hashed, stored and handed out. Nothing
   re-serialises an event that is in the log.
2. Every encoded event is decoded once before it is written: what cannot be read back under
   the same bounds is refused, so an entry that breaks its readers never enters the tree.
3. An event holds references, never payloads, outputs, tokens, keys, addresses or identifiers
   of people. What is personal is sealed (`audit.sealing`); only its digest is in the event.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from audit.errors import EventInvalid

MAX_EVENT_BYTES = 65_535
"""An entry bundle carries the length in 16 bits (C2SP tlog-tiles, "Log Entries")."""

MAX_TEXT_CHARS = 1_024
"""No field is prose: the longest legitimate values are resource names."""

MAX_ITEMS = 1_024
"""A batch request names one subject in each row; 1,024 references stay below MAX_EVENT_BYTES."""

MAX_ENDORSEMENT_CHARS = 2_048
"""Five times the name of a log, up to 255 characters, and 400 of keys and signatures."""

TENANT_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}\Z"
EVENT_ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"
SUBJECT_REF_PATTERN = r"^sub_[0-9a-f]{32}\Z"
DIGEST_PATTERN = r"^[0-9a-f]{64}\Z"

Outcome = Literal["allow", "deny", "error", "done"]
Phase = Literal["single", "intent", "result"]

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(max_length=MAX_ITEMS)]
Count = Annotated[int, msgspec.Meta(ge=0)]
SubjectRef = Annotated[str, msgspec.Meta(pattern=SUBJECT_REF_PATTERN)]
Digest = Annotated[str, msgspec.Meta(pattern=DIGEST_PATTERN)]

PLATFORM_TENANT: Final = "platform"
"""The tenant that stands for the platform itself. Its tree holds the log's own events."""

PRUNE_ACTION = "pruneEvents"
"""The action of an event that authorises the deletion of bodies, in `Event.pruned`."""

ERASE_ACTION = "eraseSubject"
"""The action of an event that authorises the deletion of a subject's sealed fields."""


class Screening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the screen said about a request; never the scores themselves."""

    profile: Text = ""
    bucket: Text = ""
    rules: Texts = ()
    atlas: Texts = ()


class FederatedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A federated round's part of an event. `eps` and `delta` are the privacy spent so far."""

    federation: Text = ""
    round: int = 0
    site: Text = ""
    n_examples: int = 0
    eps: float | None = None
    delta: float | None = None
    digest: Text = ""


class SealedCommit(msgspec.Struct, frozen=True):
    """The digest of one sealed field. The ciphertext's random nonce salts it."""

    subject_ref: SubjectRef
    sha256: Digest


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One audit event.

    Attributes:
        id: A UUIDv7 in lowercase (`new_event_id`); appending is idempotent by it.
        ts: Unix time in nanoseconds.
        outcome: "allow" or "deny" for a decision, "done" or "error" for what was attempted.
        phase: "single", or the "intent" and the "result" of longer work, where the result
            names the intent in `intent_id`.
        sealed_commit: Written by the log, one for each sealed field.
        pruned: Half-open ranges of indices whose bodies a `PRUNE_ACTION` event authorises to
            delete.
        succession: The endorsement of the log's next key (`audit.succession`).
        terms: Of a sharing: what the other tenant may do, and until when.
        input_commit: Salted digest of the input; likewise `output_commit`.
    """

    v: Literal[1] = 1
    id: Annotated[str, msgspec.Meta(pattern=EVENT_ID_PATTERN)]
    ts: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    tenant: Annotated[str, msgspec.Meta(pattern=TENANT_PATTERN)]
    category: Text
    action: Text
    outcome: Outcome
    reason: Text = ""
    actor_ref: Text = ""
    actor_type: Text = ""
    client_id: Text = ""
    auth_method: Text = ""
    session_ref: Text = ""
    subject_refs: Annotated[tuple[SubjectRef, ...], msgspec.Meta(max_length=MAX_ITEMS)] = ()
    subject_categories: Texts = ()
    data_categories: Texts = ()
    special: bool = False
    purpose: Text = ""
    basis: Text = ""
    art22: bool = False
    human_review: bool = False
    resource: Text = ""
    model_id: Text = ""
    model_version: Text = ""
    model_digest: Text = ""
    policy_ids: Texts = ()
    policy_epoch: int = 0
    recipient: Text = ""
    terms: Text = ""
    region: Text = ""
    transfer: Text = ""
    safeguard: Text = ""
    retention_class: Text = ""
    request_id: Text = ""
    trace_id: Text = ""
    phase: Phase = "single"
    intent_id: Text = ""
    latency_us: int = 0
    n_in: int = 0
    n_out: int = 0
    input_commit: Text = ""
    output_commit: Text = ""
    sealed_commit: Annotated[tuple[SealedCommit, ...], msgspec.Meta(max_length=MAX_ITEMS)] = ()
    pruned: Annotated[tuple[tuple[Count, Count], ...], msgspec.Meta(max_length=MAX_ITEMS)] = ()
    succession: Annotated[str, msgspec.Meta(max_length=MAX_ENDORSEMENT_CHARS)] = ""
    screening: Screening | None = None
    fl: FederatedPart | None = None
    gateway_id: Text = ""
    boot_id: Text = ""
    prev_checkpoint_size: int = 0


class Columns(NamedTuple):
    """The index columns of an event: for finding it, never for showing it."""

    ts: int
    actor_ref: str
    action: str
    outcome: str
    model_id: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode
_tenant = re.compile(TENANT_PATTERN).fullmatch
_event_id = re.compile(EVENT_ID_PATTERN).fullmatch
_subject_ref = re.compile(SUBJECT_REF_PATTERN).fullmatch


def encode(event: Event) -> bytes:
    """Return the bytes of an event, as they will be hashed and stored.

    Raises:
        EventInvalid: A field breaks its bound, or the whole is over MAX_EVENT_BYTES.
    """
    try:
        body = _encode(event)
        _decode(body)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as fault:
        raise EventInvalid from fault
    if len(body) > MAX_EVENT_BYTES:
        raise EventInvalid
    return body


def decode(body: bytes) -> Event:
    """Return the event that stored bytes hold.

    Raises:
        EventInvalid: The bytes are not an event within its bounds.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise EventInvalid
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise EventInvalid from fault


def columns(event: Event) -> Columns:
    """Return the index columns that belong to an event."""
    return Columns(event.ts, event.actor_ref, event.action, event.outcome, event.model_id)


def is_tenant(text: str) -> bool:
    """Tell whether a text is a well-formed tenant id."""
    return _tenant(text) is not None


def is_event_id(text: str) -> bool:
    """Tell whether a text is a well-formed event id."""
    return _event_id(text) is not None


def is_subject_ref(text: str) -> bool:
    """Tell whether a text is a well-formed subject reference."""
    return _subject_ref(text) is not None


def new_event_id(clock: Callable[[], float], random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh UUIDv7 (RFC 9562, section 5.7).

    Args:
        clock: Returns Unix seconds.
        random_bytes: Returns that many random bytes.
    """
    millis = int(clock() * 1000) & 0xFFFF_FFFF_FFFF
    noise = int.from_bytes(random_bytes(10), "big")
    value = millis << 80 | 7 << 76 | (noise >> 64 & 0xFFF) << 64 | 0b10 << 62 | noise & (2**62 - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
