"""One spelling for each signed record: UTF-8 JSON, keys sorted, no white space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from gateway.artifacts.errors import StatementInvalid

MALFORMED: Final = "the signed statement is malformed"

Record = TypeVar("Record", bound=msgspec.Struct)


@contextmanager
def well_formed() -> Iterator[None]:
    """Let the block decode JSON or base64; what cannot be decoded is no signed statement.

    Raises:
        StatementInvalid: In place of whatever the decoders raise.
    """
    try:
        yield
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise StatementInvalid(MALFORMED) from None


def encode_canonical(record: msgspec.Struct, limit: int) -> bytes:
    """Write a record, and refuse to write what could not be read back.

    Args:
        record: Of a kind that forbids unknown fields.
        limit: Bytes.

    Raises:
        StatementInvalid: A field breaks its constraint, or the record is too large.
    """
    data = msgspec.json.encode(record, order="sorted")
    parse_canonical(data, type(record), limit)
    return data


def parse_canonical(data: bytes, kind: type[Record], limit: int) -> Record:
    """Read what `encode_canonical` wrote, and nothing else that means the same.

    Raises:
        StatementInvalid: It is no such record, is spelled otherwise, or is too large.
    """
    if len(data) > limit:
        raise StatementInvalid("the signed statement is too large")
    with well_formed():
        record = msgspec.json.decode(data, type=kind)
        same = msgspec.json.encode(record, order="sorted") == data
    if not same:
        raise StatementInvalid("the signed statement is not in canonical form")
    return record
