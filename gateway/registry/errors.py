"""What the registry refuses besides the errors that everybody shares (`gateway.errors`).

SealgateError
├── PublishRefused      admission, calibration or the owner's signature said no
└── StateConflict
    └── IllegalMove     the table of states has no such move
"""

from __future__ import annotations

from gateway.errors import SealgateError, StateConflict


class IllegalMove(StateConflict):
    """The table of states does not have that move."""

    code = "illegal_move"
    message = "the version cannot make that move from its present state"


class PublishRefused(SealgateError):
    """A model was refused on its way to becoming a candidate.

    Args:
        reason: A stable reason code of admission, calibration or signature.
        remedy: What its owner can do about it; empty where nothing general helps.
    """

    code = "publish_refused"
    message = "the model was refused"

    def __init__(self, reason: str, message: str | None = None, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(message)
