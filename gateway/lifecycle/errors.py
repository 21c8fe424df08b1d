"""Errors of the use cases.

LifecycleError
├── NotFound            absent, or hidden from this caller: the two look the same
├── Forbidden           decided no, told to a caller of the owning tenant
├── AlreadyExists       a name that was given away once is never given away again
├── StateConflict       the record changed since it was read, or the move is not legal
│   └── IllegalMove     the table of states has no such move
├── InvalidRequest      a value that the use case cannot accept
├── PublishRefused      admission, calibration or the owner's signature said no
├── EvidenceUnavailable the record could not be made durable, so nothing was done
├── CoordinatorUnavailable  the federation coordinator did not answer
└── LimitReached        a bounded table or queue is full
"""

from __future__ import annotations

from gateway.errors import SealgateError


class LifecycleError(SealgateError):
    """Base of every error of the use cases."""

    code = "lifecycle"
    message = "the request could not be carried out"


class NotFound(LifecycleError):
    """The thing is absent, or this caller may not know that it exists."""

    code = "not_found"
    message = "there is nothing here"


class Forbidden(LifecycleError):
    """The decision was no, and the caller belongs to the tenant that owns the thing.

    Args:
        policy_ids: The policies that determined the decision.
    """

    code = "forbidden"
    message = "a policy does not allow this"

    def __init__(self, policy_ids: tuple[str, ...] = ()) -> None:
        self.policy_ids = policy_ids
        super().__init__()


class AlreadyExists(LifecycleError):
    """A record of that name exists, or existed."""

    code = "already_exists"
    message = "the name is taken"


class StateConflict(LifecycleError):
    """The record was changed by somebody else since it was read."""

    code = "state_conflict"
    message = "the state changed meanwhile"


class IllegalMove(StateConflict):
    """The table of states does not have that move."""

    code = "illegal_move"
    message = "the version cannot make that move from its present state"


class InvalidRequest(LifecycleError):
    """A value breaks a rule of the use case; the message names the field, never the value."""

    code = "invalid_request"
    message = "a field of the request is not acceptable"


class PublishRefused(LifecycleError):
    """A model was refused on its way to becoming a candidate.

    Args:
        reason: A stable reason code of admission, calibration or signature.
    """

    code = "publish_refused"
    message = "the model was refused"

    def __init__(self, reason: str, message: str | None = None) -> None:
        self.reason = reason
        super().__init__(message)


class EvidenceUnavailable(LifecycleError):
    """The audit record could not be made durable; nothing was done and nothing is told."""

    code = "evidence_unavailable"
    message = "the record of this action cannot be kept at the moment"


class CoordinatorUnavailable(LifecycleError):
    """The federation coordinator is not running or did not answer in time."""

    code = "coordinator_unavailable"
    message = "the federation service does not answer"


class LimitReached(LifecycleError):
    """A bounded table or queue is full for this tenant."""

    code = "limit_reached"
    message = "a limit of this tenant is reached"
