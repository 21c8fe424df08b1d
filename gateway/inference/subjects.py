"""Whom a request is about, as every door states it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.inference.codec import Array
from gateway.inference.errors import MalformedRequest

# Identifiers longer than this are documents, not names.
MAX_IDENTIFIER: Final = 512
SUBJECT_INPUT: Final = "sealgate_subject"
NOT_SHORT: Final = "a parameter of the request must be a short text"


def short_text(parameters: Mapping[str, Any] | None, name: str) -> str | None:
    """Return a parameter of a request that names somebody or something; `None` where it is absent.

    Raises:
        MalformedRequest: It is no text, empty, or longer than `MAX_IDENTIFIER`.
    """
    value = parameters.get(name) if parameters else None
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_IDENTIFIER:
        raise MalformedRequest(NOT_SHORT)
    return value


def data_subjects(column: Array | None, whole: str | None) -> tuple[str, ...]:
    """Join the two ways to name data subjects; giving both is a contradiction.

    Args:
        column: The input `sealgate_subject`: one for each row.
        whole: The parameter `subject`: one for the request.

    Raises:
        MalformedRequest: Both are given, or what is given is no short text.
    """
    if column is None:
        return () if whole is None else (whole,)
    if whole is not None or column.dtype.kind != "O":
        raise MalformedRequest("name the data subject once: for the request, or one for each row")
    names = tuple(str(name) for name in column.ravel())
    if not all(0 < len(name) <= MAX_IDENTIFIER for name in names):
        raise MalformedRequest(NOT_SHORT)
    return names
