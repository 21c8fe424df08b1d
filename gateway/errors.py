"""The gateway's error tree.

SealgateError
├── ConfigurationError   the process refuses to start
├── Refusal              nothing was changed
│   ├── NotFound         absent, or hidden from this caller: the two look the same
│   ├── Forbidden        decided no, told to a caller who may know of the thing
│   │   └── StepUpRequired   a stronger or younger sign-in of the person would do
│   ├── AlreadyExists    a name that was given away once is never given away again
│   ├── StateConflict    the record changed since it was read, or the move is not legal
│   ├── InvalidRequest   a value that the use case cannot accept
│   └── LimitReached     a bounded table or queue is full
├── EvidenceUnavailable  the record could not be made durable, so nothing is told
└── those of identity, artifacts, screening, inference, registry, federation, storage: see there

An error carries a stable `code` and a public message that never repeats what a caller sent.
Nothing here knows HTTP: `gateway.web.problems` maps each class to a status.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Self


class SealgateError(Exception):
    """Base of every error that the gateway raises on purpose.

    Args:
        message: Public text: lowercase, no full stop, nothing that a caller sent.

    Attributes:
        receipt: Where the refusal is in the audit log (`origin/index`); empty when it is not.
        retry_after: Whole seconds after which another try may be answered: exactly, where it is
            known when (`again_in`); else how soon it is worth one, as the class says; empty where
            waiting alone does not help.
    """

    code: ClassVar[str] = "internal"
    message: ClassVar[str] = "the request could not be completed"
    retry_after: str = ""

    def __init__(self, message: str | None = None) -> None:
        self.public = message or type(self).message
        self.receipt = ""
        super().__init__(self.public)

    def again_in(self, seconds: float) -> Self:
        """Say when it may be well again."""
        self.retry_after = str(max(1, math.ceil(seconds)))
        return self

    def for_good(self) -> Self:
        """Say that waiting alone does not help."""
        self.retry_after = ""
        return self


class ConfigurationError(SealgateError):
    """The settings are unsafe or contradict each other, so the process does not start.

    Args:
        message: What is wrong.
        advice: One command or step that helps.
    """

    code = "configuration"
    message = "the configuration is not safe to start with"

    def __init__(self, message: str | None = None, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Refusal(SealgateError):
    """What is raised before anything was changed: whoever catches it knows that nothing was.

    One that is about a word which does not exist may tell those that do, to a caller who may know
    of them. The word itself is not repeated: who sent it finds it.

    Attributes:
        field: Of the request, where the word stands; empty where a refusal is about none.
        known: The words that exist there: all of them, unless there is a `near`.
        near: Words that may have been meant; None where `known` has them all.
    """

    field: str = ""
    known: tuple[str, ...] = ()
    near: tuple[str, ...] | None = None

    def among(self, field: str, known: Iterable[str]) -> Self:
        """Tell all the words that exist."""
        self.field, self.known = field, tuple(sorted(known))
        return self

    def nearest(self, field: str, near: Iterable[str], known: Iterable[str] = ()) -> Self:
        """Tell words that may have been meant, and those of the request that exist."""
        self.field, self.known, self.near = field, tuple(sorted(known)), tuple(near)
        return self


class NotFound(Refusal):
    """The thing is absent, or this caller may not know that it exists."""

    code = "not_found"
    message = "there is nothing here"


class Forbidden(Refusal):
    """The decision was no, and the caller belongs to the tenant that owns the thing.

    Args:
        policy_ids: The policies that determined the decision.
    """

    code = "forbidden"
    message = "a policy does not allow this"

    def __init__(self, policy_ids: tuple[str, ...] = ()) -> None:
        self.policy_ids = policy_ids
        super().__init__()


class StepUpRequired(Forbidden):
    """The person has to sign in more strongly, or anew, for this (RFC 9470).

    Args:
        policy_ids: As of `Forbidden`.
        scheme: `Bearer` or `DPoP`, as the token came.
        acr: Level that is needed.
        max_age: Seconds since the person authenticated that are allowed; None: any.

    Attributes:
        challenge: The value for `WWW-Authenticate` (RFC 9470 section 3).
    """

    code = "insufficient_user_authentication"
    message = "this takes a recent sign-in with a passkey: sealgate login --step-up"

    def __init__(
        self, policy_ids: tuple[str, ...], scheme: str, acr: int, max_age: int | None
    ) -> None:
        super().__init__(policy_ids)
        self.acr_values = str(acr)
        self.max_age = max_age
        age = "" if max_age is None else f', max_age="{max_age}"'
        self.challenge = f'{scheme} error="{self.code}", acr_values="{acr}"{age}'


class AlreadyExists(Refusal):
    """A record of that name exists, or existed."""

    code = "already_exists"
    message = "the name is taken"


class StateConflict(Refusal):
    """The record was changed by somebody else since it was read."""

    code = "state_conflict"
    message = "the state changed meanwhile"


class InvalidRequest(Refusal):
    """A value breaks a rule of the use case; the message names the field, never the value."""

    code = "invalid_request"
    message = "a field of the request is not acceptable"


class LimitReached(Refusal):
    """A bounded table or queue is full for this tenant."""

    code = "limit_reached"
    message = "a limit of this tenant is reached"


class EvidenceUnavailable(SealgateError):
    """The audit record could not be made durable; nothing was done and nothing is told."""

    code = "evidence_unavailable"
    message = "the record of this action cannot be kept at the moment"
    retry_after = "1"  # the log tries again with each event
