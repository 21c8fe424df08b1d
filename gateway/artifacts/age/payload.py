"""The age payload: a nonce, then the STREAM of sealed chunks (C2SP age.md, "Payload").

The safety argument:

1. Each chunk is sealed under its number and whether it is the last, so chunks cannot be changed,
   moved, left out, or added, and the end cannot be cut off unseen.
2. A chunk's plaintext is released only after its tag verified. A stream is whole only once the
   iterator ends without an error: the caller must not act on a prefix.
3. A range read verifies the final chunk first: it proves the length that positions depend on.
4. No key and nonce pair is used twice: the payload key comes from a fresh 16-byte nonce.

Lengths are in bytes. Nothing here touches a file system: sources and sinks are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, Protocol, runtime_checkable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.artifacts.age.buffer import SecretBuffer
from gateway.artifacts.age.recipients import RandomBytes
from gateway.artifacts.errors import PayloadInvalid

CHUNK_LENGTH: Final = 64 << 10
TAG_LENGTH: Final = 16
NONCE_LENGTH: Final = 16
SEALED_LENGTH: Final = CHUNK_LENGTH + TAG_LENGTH

ReadAt = Callable[[int, int], bytes]


@runtime_checkable
class _Readable(Protocol):
    def read(self, length: int, /) -> bytes: ...


def payload_length(plain_length: int) -> int:
    """Return the length of the payload that seals `plain_length` bytes."""
    return NONCE_LENGTH + plain_length + TAG_LENGTH * _chunk_count(plain_length)


def plain_length(payload_length: int) -> int:
    """Return how many bytes a payload seals.

    Raises:
        PayloadInvalid: No plaintext has a payload of that length.
    """
    body = payload_length - NONCE_LENGTH
    last = body % SEALED_LENGTH
    if body < TAG_LENGTH or 0 < last < TAG_LENGTH or (last == TAG_LENGTH and body > TAG_LENGTH):
        raise PayloadInvalid
    return body - TAG_LENGTH * -(-body // SEALED_LENGTH)


class PayloadEncryptor:
    """Seals bytes as they come.

    Args:
        file_key: 16 bytes.
        random_bytes: A cryptographic source, for the nonce.
    """

    def __init__(self, file_key: bytes, random_bytes: RandomBytes) -> None:
        self._head = random_bytes(NONCE_LENGTH)
        self._aead = _aead(file_key, self._head)
        self._waiting = bytearray()
        self._index = 0

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """Seal what is certain not to be the end.

        Returns:
            Payload bytes to append; the first call includes the nonce.
        """
        source = memoryview(data).cast("B")
        missing = CHUNK_LENGTH - len(self._waiting)
        if len(source) <= missing:
            self._waiting += source
            return self._take_head()
        self._waiting += source[:missing]
        source = source[missing:]
        whole = (len(source) - 1) // CHUNK_LENGTH  # the rest, 1 to 64 KiB, may be the end
        head = self._take_head()
        out = bytearray(len(head) + (1 + whole) * SEALED_LENGTH)
        out[: len(head)] = head
        with memoryview(out) as sealed:
            self._seal(self._waiting, sealed[len(head) :], last=False)
            for i in range(whole):
                start = len(head) + (1 + i) * SEALED_LENGTH
                chunk = source[i * CHUNK_LENGTH : (i + 1) * CHUNK_LENGTH]
                self._seal(chunk, sealed[start:], last=False)
        self._waiting = bytearray(source[whole * CHUNK_LENGTH :])
        return bytes(out)

    def finish(self) -> bytes:
        """Seal the last chunk and return the end of the payload. Call it once."""
        out = bytearray(len(self._waiting) + TAG_LENGTH)
        self._seal(self._waiting, memoryview(out), last=True)
        self._waiting = bytearray()
        return self._take_head() + bytes(out)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _seal(self, chunk: bytearray | memoryview, out: memoryview, *, last: bool) -> None:
        sealed = out[: len(chunk) + TAG_LENGTH]
        self._aead.encrypt_into(_nonce(self._index, last=last), chunk, None, sealed)
        self._index += 1


def decrypt_stream(file_key: bytes, payload: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """Open a payload chunk by chunk.

    Args:
        file_key: 16 bytes.
        payload: A binary file, at the nonce, or an iterable of pieces of any size.

    Yields:
        Authentic chunks. Together they are the plaintext only if the iterator ends normally.

    Raises:
        PayloadInvalid: It was altered, cut short or extended.
    """
    source = _Source(payload)
    aead = _aead(file_key, source.read(NONCE_LENGTH))
    index = 0
    sealed = source.read(SEALED_LENGTH)
    while True:
        # Whether a chunk is the last one is sealed in it, so one chunk is read ahead.
        following = source.read(SEALED_LENGTH) if len(sealed) == SEALED_LENGTH else b""
        last = not following
        if len(sealed) == TAG_LENGTH and index > 0:
            raise PayloadInvalid  # an empty last chunk is allowed for empty files only
        yield _open(aead, index, sealed, last=last)
        if last:
            return
        sealed = following
        index += 1


def decrypt_to_buffer(
    file_key: bytes, payload: BinaryIO | Iterable[bytes], length: int
) -> SecretBuffer:
    """Open a payload into one buffer: the peak is the plaintext and one chunk.

    Args:
        file_key: 16 bytes.
        payload: A binary file, at the nonce, or an iterable of pieces of any size.
        length: Of the payload. Nothing of another length is accepted.

    Returns:
        The plaintext, to be wiped by the caller.

    Raises:
        PayloadInvalid: It was altered, cut short or extended, or its plaintext is empty.
    """
    total = plain_length(length)
    if total == 0:
        raise PayloadInvalid("an empty payload has no content to open")
    source = _Source(payload)
    aead = _aead(file_key, source.read(NONCE_LENGTH))
    buffer = SecretBuffer(total)
    try:
        with memoryview(buffer) as view:
            for index in range(_chunk_count(total)):
                start = index * CHUNK_LENGTH
                end = min(start + CHUNK_LENGTH, total)
                sealed = source.read(end - start + TAG_LENGTH)
                _open_into(aead, index, sealed, view[start:end], last=end == total)
        if source.read(1):
            raise PayloadInvalid
    except BaseException:
        buffer.wipe()
        raise
    return buffer


def decrypt_range(
    file_key: bytes, read_at: ReadAt, payload_length: int, start: int, length: int
) -> bytes:
    """Open a part of a payload, after verifying its end.

    Args:
        file_key: 16 bytes.
        read_at: Returns `n` bytes of the payload from an offset: `read_at(offset, n)`.
        payload_length: Of the whole payload.
        start: First plaintext byte wanted.
        length: How many; what lies beyond the end is left out.

    Raises:
        PayloadInvalid: The end or a chunk of the range is not authentic.
        ValueError: `start` or `length` is negative.
    """
    if start < 0 or length < 0:
        raise ValueError("a range starts at zero or later")
    total = plain_length(payload_length)
    final = _chunk_count(total) - 1
    aead = _aead(file_key, read_at(0, NONCE_LENGTH))

    def chunk(index: int) -> bytes:
        offset = NONCE_LENGTH + index * SEALED_LENGTH
        sealed = read_at(offset, min(SEALED_LENGTH, payload_length - offset))
        return _open(aead, index, sealed, last=index == final)

    tail = chunk(final)
    end = min(total, start + length)
    if start >= end:
        return b""
    first, last = start // CHUNK_LENGTH, (end - 1) // CHUNK_LENGTH
    whole = b"".join(tail if i == final else chunk(i) for i in range(first, last + 1))
    return whole[start - first * CHUNK_LENGTH :][: end - start]


class _Source:
    """Exact reads from a file or from pieces of any size."""

    def __init__(self, payload: BinaryIO | Iterable[bytes]) -> None:
        self._pieces = _file_pieces(payload) if isinstance(payload, _Readable) else iter(payload)
        self._piece = memoryview(b"")

    def read(self, length: int) -> bytes:
        """Return `length` bytes; fewer only at the end."""
        parts: list[memoryview] = []
        missing = length
        while missing:
            if not self._piece:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._piece = memoryview(piece)
            part, self._piece = self._piece[:missing], self._piece[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def _file_pieces(stream: _Readable) -> Iterator[bytes]:
    while piece := stream.read(SEALED_LENGTH):
        yield piece


def _chunk_count(plain_length: int) -> int:
    return max(1, -(-plain_length // CHUNK_LENGTH))


def _nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _aead(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    if len(nonce) != NONCE_LENGTH:
        raise PayloadInvalid
    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, nonce, b"payload").derive(file_key))


def _open(aead: ChaCha20Poly1305, index: int, sealed: bytes, *, last: bool) -> bytes:
    try:
        return aead.decrypt(_nonce(index, last=last), sealed, None)
    except InvalidTag:
        raise PayloadInvalid from None


def _open_into(
    aead: ChaCha20Poly1305, index: int, sealed: bytes, out: memoryview, *, last: bool
) -> None:
    if len(sealed) != len(out) + TAG_LENGTH:
        raise PayloadInvalid
    try:
        aead.decrypt_into(_nonce(index, last=last), sealed, None, out)
    except InvalidTag:
        raise PayloadInvalid from None
