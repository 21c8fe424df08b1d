"""The wire format of Protocol Buffers, as far as this protocol uses it. Pure.

Safety argument.
1. Any bytes end as fields or as `MalformedRequest`. Reading a message makes nothing of its nested
   ones: a slice of the same memory stands for each. So a message costs what is read of it. (A
   general parser makes an object of each nested message: 8 MiB of empty ones took it 353 MiB.)
2. Whoever reads says how many fields there may be; one more ends the reading.
3. Numbers are at most 64 bits, lengths are held to what is there, groups are refused.

Source: "Protocol Buffers Encoding", protobuf.dev.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from gateway.inference.errors import MalformedRequest

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

Value: TypeAlias = "int | memoryview"


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read a number of at most 64 bits; return it and the position after it.

    Raises:
        MalformedRequest: It is cut short, or longer than ten bytes.
    """
    value = shift = 0
    for byte in data[position : position + 10]:
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise MalformedRequest


def fields(data: memoryview, limit: int) -> Iterator[tuple[int, int, Value]]:
    """Yield number, wire type and value of each field of a message.

    Args:
        data: The message.
        limit: How many fields it may have.

    Raises:
        MalformedRequest: It is no message, or has more fields.
    """
    position, end = 0, len(data)
    while position < end:
        limit -= 1
        if limit < 0:
            raise MalformedRequest("the message has too many fields")
        tag = data[position]
        position += 1
        if tag > 0x7F:
            tag, position = varint(data, position - 1)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise MalformedRequest
        if kind == VARINT:
            value, position = varint(data, position)
            yield number, kind, value
            continue
        if kind == BYTES:
            if position < end and (size := data[position]) < 0x80:  # most are: no call for them
                position += 1
            else:
                size, position = varint(data, position)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise MalformedRequest
        if size > end - position:
            raise MalformedRequest
        yield number, kind, data[position : position + size]
        position += size


def text(value: Value) -> str:
    """Read a string.

    Raises:
        MalformedRequest: It is none, or not UTF-8.
    """
    if isinstance(value, int):
        raise MalformedRequest
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("a text of the message is not UTF-8") from None


def nested(value: Value) -> memoryview:
    """Return a nested message or a value of bytes, or raise `MalformedRequest`."""
    if isinstance(value, int):
        raise MalformedRequest
    return value


def number(value: Value) -> int:
    """Read a number that is written with its sign in 64 bits, or raise `MalformedRequest`."""
    if not isinstance(value, int):
        raise MalformedRequest
    return value - (1 << 64) if value >> 63 else value


def write_varint(value: int) -> bytes:
    """Write a number; a negative one as 64 bits."""
    if 0 <= value < 0x80:
        return b"%c" % value
    value &= 0xFFFF_FFFF_FFFF_FFFF
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_bytes(number: int, value: bytes) -> bytes:
    """Write a field of bytes, a string in UTF-8 or a nested message."""
    size = len(value)
    if number < 16 and size < 0x80:
        return b"%c%c%b" % (number << 3 | BYTES, size, value)
    return write_varint(number << 3 | BYTES) + write_varint(size) + value


@dataclass(frozen=True, slots=True)
class Field:
    """How a value is written.

    Attributes:
        number: Of the field.
        kind: Of its value, or the table of a nested message.
        repeated: Whether there are several; numbers are then packed.
        keyed: Whether it is a map from texts to such values.
    """

    number: int
    kind: Literal["text", "integer", "real"] | Table
    repeated: bool = False
    keyed: bool = False


Table: TypeAlias = "Mapping[str, Field]"
"""The fields of a message by name. Values of other names are not written."""


def write(table: Table, values: Mapping[str, Any]) -> bytes:
    """Write a message; what is missing, empty, zero or false is left out, as the format has it."""
    parts: list[bytes] = []
    for name, field in table.items():
        value = values.get(name)
        if not value:
            continue
        if field.keyed:
            for key, one in value.items():
                entry = write_bytes(1, key.encode()) + _one(Field(2, field.kind), one)
                parts.append(write_bytes(field.number, entry))
        elif field.repeated:
            parts += _several(field, value)
        else:
            parts.append(_one(field, value))
    return b"".join(parts)


def _several(field: Field, values: Sequence[Any]) -> list[bytes]:
    if field.kind == "integer":
        return [write_bytes(field.number, b"".join(map(write_varint, values)))]
    return [_one(field, value) for value in values]


def _one(field: Field, value: Any) -> bytes:
    if field.kind == "integer":
        return write_varint(field.number << 3 | VARINT) + write_varint(int(value))
    if field.kind == "real":
        return write_varint(field.number << 3 | FIXED64) + struct.pack("<d", value)
    if field.kind == "text":
        return write_bytes(field.number, str(value).encode())
    return write_bytes(field.number, write(field.kind, value))
