"""Names of things that tenants make: safe in a URL, a file name and a Cedar entity id. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Final

from gateway.errors import InvalidRequest

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
"""Of a tenant, client, model, site, federation, purpose, region."""
VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}\Z")
"""Of a version of a model."""


REACHED: Final = re.compile(r"([a-z0-9][a-z0-9._-]{0,62}~)?[a-z0-9][a-z0-9._-]{0,62}\Z")
"""Of a model as a caller names it: its own, or another tenant's (`shared_name`)."""
OF: Final = "~"
"""Between a tenant and its model in the name that another tenant has for it: in no name, and
unreserved (RFC 3986, section 2.3), so that no client or proxy writes it in two ways."""


def is_name(value: str) -> bool:
    """Tell whether `value` can be a name."""
    return NAME.match(value) is not None


def is_version(value: str) -> bool:
    """Tell whether `value` can be the name of a version."""
    return VERSION.match(value) is not None


def shared_name(owner: str, model: str) -> str:
    """Return the name that other tenants have for a tenant's model."""
    return f"{owner}{OF}{model}"


def split_shared(value: str) -> tuple[str, str] | None:
    """Return owner and model of a name that `shared_name` made; None for any other text."""
    owner, found, model = value.partition(OF)
    return (owner, model) if found and is_name(owner) and is_name(model) else None


MAX_COMPARED: Final = 1000
"""Names that one that does not exist is compared with: some milliseconds."""


def near(word: str, known: Iterable[str]) -> list[str]:
    """Return the names that `word` may have meant, the nearest first, three at most.

    Args:
        word: What the caller wrote; bounded, as fields of requests are.
        known: What exists and the caller may know of.
    """
    return get_close_matches(word, list(islice(known, MAX_COMPARED)), n=3)


def require_name(field: str, value: str) -> None:
    """Refuse what cannot be a name.

    Args:
        field: What the field is called where the caller wrote it.
        value: What the caller wrote; it is not repeated.

    Raises:
        InvalidRequest: It is no name.
    """
    if not is_name(value):
        raise InvalidRequest(f"`{field}` must be 1 to 63 of a-z, 0-9, dot, dash, underscore")


def require_version(field: str, value: str) -> None:
    """Refuse what cannot be the name of a version; see `require_name`.

    Raises:
        InvalidRequest: It is no version name.
    """
    if not is_version(value):
        raise InvalidRequest(f"`{field}` must be 1 to 32 letters, digits, dots, dashes")
