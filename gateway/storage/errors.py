"""What storage itself refuses; the ports' own errors (`AlreadyExists`, …) are elsewhere.

StorageError
├── StorageUnavailable   the database cannot answer now: locked, full, gone
├── ValueRefused         a value that not every database can keep
└── DatabaseRefused      this database must not be used by this process
    └── DatabaseTooNew   a later release of the gateway has changed it
"""

from __future__ import annotations

from gateway.errors import SealgateError


class StorageError(SealgateError):
    """Base of the storage errors."""

    code = "storage"
    message = "the records are not available"


class StorageUnavailable(StorageError):
    """The database cannot answer now; nothing was changed, or the caller cannot know."""

    code = "storage_unavailable"
    message = "the records are not available at the moment"
    retry_after = "1"  # most often locked by another writer


class ValueRefused(StorageError):
    """A text, number or document that not every database keeps as it is."""

    code = "value_refused"
    message = "a value cannot be stored"


class DatabaseRefused(StorageError):
    """The database is of a kind or in a state that the gateway does not work with."""

    code = "database_refused"
    message = "the database cannot be used"


class DatabaseTooNew(DatabaseRefused):
    """A later release has migrated the database; an older one would damage it."""

    code = "database_too_new"
    message = "the database was made by a newer release"
