from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.errors import MalformedRequest, UnsupportedEncoding
from gateway.inference.inflating import FEED, MAX_MEMBERS, STEP, Inflater, inflater_for

COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
}


def inflated(coding: str, *pieces: bytes) -> bytes:
    inflater = Inflater(coding)
    found = [part for piece in pieces for part in inflater.feed(piece)]
    inflater.end()
    assert all(len(part) <= STEP for part in found)
    return b"".join(found)


@given(st.binary(max_size=2000), st.integers(1, 64), st.sampled_from(sorted(COMPRESS)))
def test_a_body_comes_out_as_it_was_however_it_is_cut(
    body: bytes, width: int, coding: bytes
) -> None:
    sent = COMPRESS[coding](body)
    pieces = [sent[start : start + width] for start in range(0, len(sent), width)]
    assert inflated(coding.decode(), *pieces) == body


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.booleans())
def test_any_bytes_end_as_bytes_or_as_our_error(data: bytes, coding: str, real: bool) -> None:
    begin = COMPRESS[coding.encode()](b"real")[:-4] if real else b""
    try:
        inflated(coding, begin + data)
    except MalformedRequest:
        return


def test_several_members_are_one_body_and_their_number_is_bounded() -> None:
    member = gzip.compress(b"ab")
    assert inflated("gzip", member * MAX_MEMBERS) == b"ab" * MAX_MEMBERS
    with pytest.raises(MalformedRequest, match="followed"):
        inflated("gzip", member * (MAX_MEMBERS + 1))


@pytest.mark.parametrize("coding", COMPRESS)
def test_what_is_cut_short_or_followed_by_something_is_refused(coding: bytes) -> None:
    sent = COMPRESS[coding](b"a body" * 100)
    for broken in (sent[:-1], sent[:12], sent + b"more", b"x" + sent):
        with pytest.raises(MalformedRequest):
            inflated(coding.decode(), broken)


@pytest.mark.parametrize(
    "coding", [b"br", b"zstd", b"compress", b"gzip, gzip", b"gzip,deflate", b"\xff", b"gzip;q=1"]
)
def test_other_codings_are_not_read(coding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        inflater_for(coding)


def test_names_of_codings_are_of_any_case() -> None:
    assert inflater_for(b"") is inflater_for(b"identity") is None
    for name in (b"GZip", b" x-gzip ", b"Deflate"):
        assert inflater_for(name) is not None


def test_a_bomb_is_never_held() -> None:
    inflater = Inflater("gzip")
    bomb = gzip.compress(bytes(64 << 20))
    first: Sequence[bytes] = [next(iter(inflater.feed(bomb)))]
    assert len(first[0]) == STEP
    assert inflater._inflate is not None
    assert len(inflater._inflate.unconsumed_tail) < FEED


def test_input_that_stands_for_nothing_is_taken_by_slices() -> None:
    """Whoever reads a body can let others have their turn, though nothing comes out of it."""
    nothing = b"\x00\x00\x00\xff\xff" * (10 * FEED // 5)
    body = zlib.compress(b"", 0)[:2] + nothing + b"\x01\x00\x00\xff\xff" + struct.pack(">I", 1)
    inflater = Inflater("deflate")
    assert len(list(inflater.feed(body))) >= len(body) // FEED
    inflater.end()
