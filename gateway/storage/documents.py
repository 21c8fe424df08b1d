"""Values that a column holds as JSON text: sets in order, mappings, sealed payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from gateway.identity.records import FormerCredential
from gateway.registry.records import SealedPayload

_T = TypeVar("_T")
_ENCODER = msgspec.json.Encoder(order="deterministic")


def to_text(value: Any) -> str:
    """Return JSON text: the same for equal values. Bytes become base64."""
    return _ENCODER.encode(value).decode()


def names_to_text(names: Iterable[str]) -> str:
    """Return a set of names as JSON text, in order."""
    return to_text(sorted(names))


def names_from_text(text: str) -> frozenset[str]:
    """Return the set that `names_to_text` wrote."""
    return _from_text(text, frozenset[str])


def ordered_from_text(text: str) -> tuple[str, ...]:
    """Return a sequence of names that `to_text` wrote."""
    return _from_text(text, tuple[str, ...])


def facts_from_text(text: str) -> dict[str, str]:
    """Return a mapping of texts that `to_text` wrote."""
    return _from_text(text, dict[str, str])


def jwks_from_text(text: str | None) -> Mapping[str, Any] | None:
    """Return the JWK set that `to_text` wrote, or None."""
    return None if text is None else _from_text(text, dict[str, Any])


def former_from_text(text: str | None) -> tuple[FormerCredential, ...]:
    """Return the former credentials that `to_text` wrote; none for None."""
    return () if text is None else _from_text(text, tuple[FormerCredential, ...])


def payload_from_text(text: str) -> SealedPayload:
    """Return the sealed payload that `to_text` wrote."""
    return _from_text(text, SealedPayload)


def payloads_from_text(text: str) -> tuple[SealedPayload, ...]:
    """Return the sealed payloads that `to_text` wrote."""
    return _from_text(text, tuple[SealedPayload, ...])


def _from_text(text: str, kind: type[_T]) -> _T:
    return msgspec.json.decode(text, type=kind)
