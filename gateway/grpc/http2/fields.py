"""Header blocks of HTTP/2 (HPACK, RFC 7541), read within bounds and written plainly. Pure.

Safety argument.
1. A list of headers is at most `MAX_LIST_BYTES` as RFC 9113 section 6.5.2 counts it, whatever its
   block says: the decoder stops there, and the connection ends, because its table is then unknown.
2. Only what a request may have gets through: names in lower case, no header of the connection, the
   four pseudo headers once and first (RFC 9113 sections 8.2 and 8.3).
3. What a block meant is remembered only while the table is the one that it was read with. Then the
   same bytes mean the same, and reading them again would give the same.
4. What we send refers to no table, so no answer tells of another by its length.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from hpack import Decoder, HPACKError, OversizedHeaderListError

from gateway.grpc.http2.frames import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    PROTOCOL_ERROR,
    ConnectionFault,
    StreamFault,
)

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

MAX_LIST_BYTES: Final = 64 * 1024
"""As much as the HTTP door takes of a head: two tokens bound to a key are 7 kB."""
MEMO_BLOCKS: Final = 32
"""A client sends one or two different blocks again and again."""
MEMO_BYTES: Final = 1024
"""Blocks that are longer carry something new each time."""
SIZE_UPDATE: Final = b"\x20"
"""Our table holds nothing (RFC 7541 section 6.3), whatever the peer's settings allow."""

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_VALUE: Final = re.compile(rb"[^\x00\r\n]*\Z")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_NEEDED: Final = frozenset({b":method", b":scheme", b":path"})
_OF_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)


class FieldReader:
    """Reads the header blocks of one connection, in order."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._memo: dict[bytes, Headers] = {}

    def read(self, block: bytes) -> Headers:
        """Return the headers of a block.

        Raises:
            ConnectionFault: It is no block of this connection, or its headers are too many.
        """
        known = self._memo.get(block)
        if known is not None:
            return known
        entries = self._decoder.header_table.dynamic_entries
        before = (entries[0] if entries else None, len(entries))
        headers = self._decode(block)
        if before[0] is not (entries[0] if entries else None) or before[1] != len(entries):
            self._memo.clear()  # claim 3
        elif 0 < len(block) <= MEMO_BYTES and block[0] & 0xE0 != 0x20:  # resizes the table
            if len(self._memo) >= MEMO_BLOCKS:
                self._memo.clear()
            self._memo[block] = headers
        return headers

    def _decode(self, block: bytes) -> Headers:
        try:
            return tuple(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            oversized = isinstance(error, OversizedHeaderListError)
            code = ENHANCE_YOUR_CALM if oversized else COMPRESSION_ERROR
            raise ConnectionFault(code) from None
        except (IndexError, ValueError):
            raise ConnectionFault(COMPRESSION_ERROR) from None


def check_request(headers: Headers) -> None:
    """Hold the headers of a request to claim 2.

    Raises:
        StreamFault: They are not those of a request.
    """
    seen: set[bytes] = set()
    regular = False
    for name, value in headers:
        if name.startswith(b":"):
            if regular or name not in _PSEUDO or name in seen:
                raise StreamFault(PROTOCOL_ERROR)
            seen.add(name)
        else:
            regular = True
            if not _NAME.match(name) or name in _OF_CONNECTION:
                raise StreamFault(PROTOCOL_ERROR)
        if not _VALUE.match(value):
            raise StreamFault(PROTOCOL_ERROR)
    if not seen >= _NEEDED:
        raise StreamFault(PROTOCOL_ERROR)


def literal(name: bytes, value: bytes) -> bytes:
    """Write one header as a literal that no table remembers (RFC 7541 section 6.2.2)."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    """Write a string without Huffman coding (section 5.2)."""
    length = len(text)
    if length < 127:
        return b"%c%b" % (length, text)
    rest, size = length - 127, bytearray(b"\x7f")
    while rest >= 128:
        size.append(rest % 128 + 128)
        rest //= 128
    size.append(rest)
    return bytes(size) + text
