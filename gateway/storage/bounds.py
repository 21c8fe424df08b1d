"""What every store can keep: the same rules for each database.

1. SQLite keeps a NUL in a text, PostgreSQL does not, and neither keeps a lone surrogate: refused.
2. SQLite keeps texts of any length in an index, PostgreSQL up to 2,704 bytes: keys are bounded.
3. Numbers have 64 bits.
A look-up by a key that cannot be stored finds nothing; it is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from gateway.storage.errors import ValueRefused

MAX_KEY_BYTES: Final = 2_000
"""All parts of a key together, UTF-8; PostgreSQL's index rows end at 2,704."""
MAX_TEXT_BYTES: Final = 1024 * 1024
"""One text, UTF-8: the largest are JWK sets and task settings, some 100 KiB."""
MAX_BLOB_BYTES: Final = 16 * 1024 * 1024
"""One byte string: manifests and signatures; payloads are in the artifact store."""
MAX_DEPTH: Final = 16
"""Nesting of a stored document."""
_INT64: Final = 2**63


def check_key(*parts: str) -> None:
    """Refuse a key that not every database can keep.

    Raises:
        ValueRefused: A part has a NUL or a lone surrogate, or the whole is too long.
    """
    if not is_storable(*parts):
        raise ValueRefused


def is_storable(*parts: str) -> bool:
    """Tell whether the parts could be a stored key."""
    try:
        size = sum(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        return False
    return size <= MAX_KEY_BYTES and not any("\0" in part for part in parts)


def check_record(record: object) -> None:
    """Refuse a record with a value, at any depth, that not every database can keep.

    Raises:
        ValueRefused: A text, number, byte string or nesting is out of bounds.
    """
    _check(record, 0)


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueRefused
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, bytes):
        if len(value) > MAX_BLOB_BYTES:
            raise ValueRefused
    elif isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise ValueRefused
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check(key, depth + 1)
            _check(item, depth + 1)
    elif isinstance(value, (list, tuple, frozenset)):
        for item in value:
            _check(item, depth + 1)
    elif is_dataclass(value):
        for field in fields(value):
            _check(getattr(value, field.name), depth + 1)
    elif value is not None and not isinstance(value, float):
        raise ValueRefused


def _check_text(value: str) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueRefused from None
    if size > MAX_TEXT_BYTES or "\0" in value:
        raise ValueRefused
