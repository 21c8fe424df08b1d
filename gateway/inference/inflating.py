"""Undoes the compression of a body, a bounded piece at a time, for every door. Pure.

Safety argument.
1. No call hands out or holds more than `STEP` bytes of output, whatever the input claims: the
   caller counts each piece against its bound before it asks for the next, so a bomb ends there.
2. A piece, which may be empty, comes after `FEED` bytes of input at the latest, so the caller can
   let others have their turn whatever the input is: 16 KiB that stand for nothing take zlib two
   milliseconds, and there may be two thousand of them in a body.
3. The work is linear in input and output: zlib is fed slices of `FEED` bytes, because what it has
   not used of one is copied at each step, and a gzip body has at most `MAX_MEMBERS` members.
4. What is cut short, broken or followed by anything is `MalformedRequest`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from gateway.inference.errors import MalformedRequest, UnsupportedEncoding

STEP: Final = 256 << 10
"""Takes zlib about a millisecond: what one request may hold the event loop for."""
FEED: Final = 16 << 10
MAX_MEMBERS: Final = 64
"""Of one gzip body (RFC 1952, section 2.2): tools that compress in parallel write several."""

# zlib's `wbits`: a gzip member (RFC 1952), or the zlib format (RFC 1950), which HTTP and gRPC both
# call deflate.
_WINDOW: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Inflater:
    """One body on its way in.

    Args:
        coding: `gzip` or `deflate`, in lower case.
    """

    def __init__(self, coding: str) -> None:
        self._window = _WINDOW[coding]
        self._members = MAX_MEMBERS if self._window == _WINDOW["gzip"] else 1
        self._inflate: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body and yield what they stand for, `STEP` bytes at most.

        Others should have their turn between two pieces: claim 2.

        Raises:
            MalformedRequest: They are not of that coding, or come after its end.
        """
        for start in range(0, len(data), FEED):
            yield from self._slice(data[start : start + FEED])

    def _slice(self, rest: bytes) -> Iterator[bytes]:
        while rest:
            inflate = self._inflate or self._begin()
            full = True
            while full or rest:
                try:
                    piece = inflate.decompress(rest, STEP)
                except zlib.error:
                    raise MalformedRequest("the compressed body cannot be read") from None
                rest, full = inflate.unconsumed_tail, len(piece) == STEP
                yield piece
                if inflate.eof:
                    rest, self._inflate = inflate.unused_data, None
                    break

    def _begin(self) -> zlib._Decompress:
        if not self._members:
            raise MalformedRequest("the compressed body is followed by something else")
        self._members -= 1
        self._inflate = zlib.decompressobj(self._window)
        return self._inflate

    def end(self) -> None:
        """Take note that the body is over.

        Raises:
            MalformedRequest: It was cut short. An empty body is whole: nothing was compressed.
        """
        if self._inflate is not None:
            raise MalformedRequest("the compressed body is cut short")


def inflater_for(coding: bytes) -> Inflater | None:
    """Return what undoes a `Content-Encoding`; None where there is nothing to undo.

    Args:
        coding: The header's value; of several headers, joined by commas.

    Raises:
        UnsupportedEncoding: Another coding, or more than one.
    """
    name = coding.decode("latin-1").strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in _WINDOW:
        raise UnsupportedEncoding
    return Inflater(name)
