"""What goes wrong with a backup.

BackupError
├── BackupRefused   it cannot be made, or put back, here and now; nothing was changed
├── BackupUnsound   the file is not a backup that was made here, as it was made
└── BackupOlder     the log went on after it: what is missing is told, and has to be accepted
"""

from __future__ import annotations

from gateway.errors import SealgateError


class BackupError(SealgateError):
    """Base of the errors of backups.

    Args:
        message: What is wrong.
        advice: One command or step that helps.
    """

    code = "backup"
    message = "the backup could not be made or used"

    def __init__(self, message: str | None = None, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class BackupRefused(BackupError):
    """It cannot be made, or put back, here and now; nothing was changed."""

    code = "backup_refused"
    message = "the backup cannot be made or put back here"


class BackupUnsound(BackupError):
    """The file is not a backup that was made here, as it was made."""

    code = "backup_unsound"
    message = "the file is not a backup as it was made"


class BackupOlder(BackupError):
    """The log went on after the backup.

    Attributes:
        missing: How many entries are missing, by origin of the log.
    """

    code = "backup_older"
    message = "the backup is older than a checkpoint that was kept"

    def __init__(self, message: str, advice: str, missing: dict[str, int]) -> None:
        super().__init__(message, advice)
        self.missing = missing
