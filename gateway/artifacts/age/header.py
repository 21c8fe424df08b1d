"""The age header: a strict parser and a writer (C2SP age.md, "Header").

The safety argument of re-heading, which serves one stored payload to many recipients:

1. The header's MAC is keyed by the file key, so a new header for the same file key is as genuine
   as the first; nothing in the payload refers to a header.
2. The payload's nonce is outside the header, so a new header encrypts nothing anew.
3. Whoever knows the file key can make a payload that opens under it: the caller checks the
   payload's signed digest.
4. A former recipient keeps the file key: only a fresh file key takes it away.
5. One classical wrapping undoes the post-quantum ones, so a header never mixes them.
"""

from __future__ import annotations

import dataclasses
import hmac
import io
import re
from collections.abc import Sequence
from typing import BinaryIO, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.artifacts.age.recipients import Identity, RandomBytes, Recipient
from gateway.artifacts.age.stanza import (
    BODY_COLUMNS,
    FILE_KEY_LENGTH,
    Stanza,
    decode_base64,
    encode_base64,
)
from gateway.artifacts.errors import (
    HeaderForged,
    HeaderInvalid,
    NoMatchingIdentity,
    RecipientInvalid,
    RecipientsMixed,
)

HEADER_LIMIT: Final = 1 << 20  # 64 post-quantum stanzas take 110 kB; others may be larger
STANZA_LIMIT: Final = 256  # each costs an identity one key agreement
RECIPIENT_LIMIT: Final = 64

_VERSION: Final = b"age-encryption.org/v1"
_STANZA_LINE: Final = re.compile(rb"->(?: [\x21-\x7e]+)+")
_BODY_LINE: Final = re.compile(rb"[A-Za-z0-9+/]*")
_MAC_LINE: Final = re.compile(rb"--- [A-Za-z0-9+/]{43}")


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """A parsed header; not yet authenticated: that takes the file key.

    Attributes:
        stanzas: In their order, of known and unknown kinds.
        authenticated: The bytes that the MAC covers.
        mac: The 32-byte MAC.
        size: Bytes of the whole header: where the payload begins.
    """

    stanzas: tuple[Stanza, ...]
    authenticated: bytes
    mac: bytes
    size: int

    def open(self, identities: Sequence[Identity]) -> bytes:
        """Return the file key by the first stanza that opens, after checking the MAC.

        Raises:
            NoMatchingIdentity: The file is for somebody else.
            HeaderForged: The MAC is wrong.
            HeaderInvalid: A stanza breaks the rules of its kind.
        """
        if len(self.stanzas) > 1 and any(s.kind == "scrypt" for s in self.stanzas):
            raise HeaderInvalid  # a passphrase authenticates, so it must be alone
        for stanza in self.stanzas:
            for identity in identities:
                file_key = identity.unwrap(stanza)
                if file_key is not None:
                    if not hmac.compare_digest(_mac(file_key, self.authenticated), self.mac):
                        raise HeaderForged
                    return file_key
        raise NoMatchingIdentity


def read_header(stream: BinaryIO) -> Header:
    """Read one header and leave the stream where the payload begins.

    Raises:
        HeaderInvalid: The grammar is broken, or the header is larger than `HEADER_LIMIT`.
    """
    lines = _Lines(stream)
    if lines.next() != _VERSION:
        raise HeaderInvalid
    stanzas: list[Stanza] = []
    while True:
        line = lines.next()
        if line.startswith(b"---"):
            break
        if len(stanzas) == STANZA_LIMIT or not _STANZA_LINE.fullmatch(line):
            raise HeaderInvalid
        kind, *arguments = line[3:].decode("ascii").split(" ")
        stanzas.append(Stanza(kind, tuple(arguments), _read_body(lines)))
    if not stanzas or not _MAC_LINE.fullmatch(line):
        raise HeaderInvalid
    mac = decode_base64(line[4:].decode("ascii"))
    authenticated = bytes(lines.seen[: -len(line) - 1]) + b"---"
    return Header(tuple(stanzas), authenticated, mac, len(lines.seen))


def open_header(data: bytes, identities: Sequence[Identity]) -> bytes:
    """Return the file key of a header that stands alone.

    Raises:
        HeaderInvalid: The grammar is broken, or bytes follow the header.
        NoMatchingIdentity: It is for somebody else.
        HeaderForged: The MAC is wrong.
    """
    return parse_header(data).open(identities)


def parse_header(data: bytes) -> Header:
    """Read a header that stands alone.

    Raises:
        HeaderInvalid: The grammar is broken, or bytes follow the header.
    """
    header = read_header(io.BytesIO(data))
    if header.size != len(data):
        raise HeaderInvalid
    return header


def make_header(
    file_key: bytes, recipients: Sequence[Recipient], random_bytes: RandomBytes
) -> bytes:
    """Write a header that gives `file_key` to each recipient.

    Args:
        file_key: 16 bytes.
        recipients: One to `RECIPIENT_LIMIT`, all post-quantum or all classical.
        random_bytes: A cryptographic source.

    Raises:
        RecipientsMixed: The kinds are mixed.
        RecipientInvalid: None, too many, or one is no valid key.
    """
    if len(file_key) != FILE_KEY_LENGTH:
        raise ValueError("a file key has 16 bytes")
    if not 1 <= len(recipients) <= RECIPIENT_LIMIT:
        raise RecipientInvalid(f"name 1 to {RECIPIENT_LIMIT} recipients")
    if len({recipient.post_quantum for recipient in recipients}) > 1:
        raise RecipientsMixed
    stanzas = b"".join(r.wrap(file_key, random_bytes).encode() for r in recipients)
    authenticated = _VERSION + b"\n" + stanzas + b"---"
    mac = encode_base64(_mac(file_key, authenticated)).encode()
    return authenticated + b" " + mac + b"\n"


class _Lines:
    """Lines that end in LF, within `HEADER_LIMIT` bytes together."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seen = bytearray()

    def next(self) -> bytes:
        line = self._stream.readline(HEADER_LIMIT + 1 - len(self.seen))
        self.seen += line
        if not line.endswith(b"\n") or len(self.seen) > HEADER_LIMIT:
            raise HeaderInvalid
        return line[:-1]


def _read_body(lines: _Lines) -> bytes:
    """Read body lines of 64 columns, up to and with the first that is shorter."""
    parts: list[bytes] = []
    while True:
        line = lines.next()
        if len(line) > BODY_COLUMNS or not _BODY_LINE.fullmatch(line):
            raise HeaderInvalid
        parts.append(line)
        if len(line) < BODY_COLUMNS:
            return decode_base64(b"".join(parts).decode("ascii"))


def _mac(file_key: bytes, authenticated: bytes) -> bytes:
    key = HKDF(hashes.SHA256(), 32, None, b"header").derive(file_key)
    return hmac.digest(key, authenticated, "sha256")
