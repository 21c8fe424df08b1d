"""The gateway's error tree.

SealgateError
├── identity, artifacts, screening, serving, lifecycle, storage: their own `errors.py`
└── ConfigurationError   the process refuses to start

An error carries a stable `code` and a public message that never repeats what a caller sent.
Nothing here knows HTTP: `gateway.web.problems` maps each class to a status.
"""

from __future__ import annotations

from typing import ClassVar


class SealgateError(Exception):
    """Base of every error that the gateway raises on purpose.

    Args:
        message: Public text: lowercase, no full stop, nothing that a caller sent.

    Attributes:
        receipt: Where the refusal is in the audit log (`origin/index`); empty when it is not.
    """

    code: ClassVar[str] = "internal"
    message: ClassVar[str] = "the request could not be completed"

    def __init__(self, message: str | None = None) -> None:
        self.public = message or type(self).message
        self.receipt = ""
        super().__init__(self.public)


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
