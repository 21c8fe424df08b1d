from __future__ import annotations

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.artifacts.age import (
    PayloadEncryptor,
    SecretBuffer,
    decrypt_range,
    decrypt_stream,
    decrypt_to_buffer,
    payload_length,
    plain_length,
)
from gateway.artifacts.age.payload import CHUNK_LENGTH, NONCE_LENGTH, SEALED_LENGTH, TAG_LENGTH
from gateway.artifacts.errors import PayloadInvalid

KEY = b"k" * 16
EDGES = [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 2 * CHUNK_LENGTH, 200_000]


def seal(plaintext: bytes, piece: int = 1 << 20) -> bytes:
    encryptor = PayloadEncryptor(KEY, os.urandom)
    pieces = [plaintext[i : i + piece] for i in range(0, len(plaintext), piece)]
    return b"".join(map(encryptor.update, pieces)) + encryptor.finish()


def open_all(payload: bytes) -> bytes:
    return b"".join(decrypt_stream(KEY, io.BytesIO(payload)))


def open_range(payload: bytes, start: int, length: int) -> bytes:
    return decrypt_range(KEY, lambda o, n: payload[o : o + n], len(payload), start, length)


def open_buffer(payload: bytes) -> bytes:
    with decrypt_to_buffer(KEY, [payload], len(payload)) as buffer:
        return bytes(buffer)


@pytest.mark.parametrize("length", EDGES)
def test_round_trip_at_the_edges_of_chunks(length: int) -> None:
    plaintext = os.urandom(length)
    payload = seal(plaintext)
    assert len(payload) == payload_length(length)
    assert plain_length(len(payload)) == length
    assert open_all(payload) == plaintext
    if length:
        assert open_buffer(payload) == plaintext
    else:
        with pytest.raises(PayloadInvalid):
            open_buffer(payload)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 70_000), max_size=6), st.integers(1, 80_000))
def test_the_cut_of_the_pieces_does_not_matter(cuts: list[int], read: int) -> None:
    plaintext = os.urandom(sum(cuts))
    encryptor = PayloadEncryptor(KEY, lambda n: b"n" * n)
    payload, position = b"", 0
    for cut in cuts:
        payload += encryptor.update(plaintext[position : position + cut])
        position += cut
    payload += encryptor.finish()
    whole = PayloadEncryptor(KEY, lambda n: b"n" * n)
    assert payload == whole.update(plaintext) + whole.finish()
    pieces = (payload[i : i + read] for i in range(0, len(payload), read))
    assert b"".join(decrypt_stream(KEY, pieces)) == plaintext


@given(st.integers(-10, 1 << 40))
def test_lengths_agree_or_are_refused(length: int) -> None:
    try:
        plain = plain_length(length)
    except PayloadInvalid:
        return
    assert payload_length(plain) == length


def test_no_region_can_be_altered() -> None:
    payload = seal(os.urandom(2 * CHUNK_LENGTH + 100))
    last = NONCE_LENGTH + 2 * SEALED_LENGTH
    for position in (
        0, 15, 16, 5000, SEALED_LENGTH, SEALED_LENGTH + 15, SEALED_LENGTH + 16, last - 1, last,
        len(payload) - TAG_LENGTH, len(payload) - 1,
    ):  # fmt: skip
        for bit in range(8):
            altered = bytearray(payload)
            altered[position] ^= 1 << bit
            for reader in (open_all, open_buffer):
                with pytest.raises(PayloadInvalid):
                    reader(bytes(altered))


@pytest.mark.parametrize("length", EDGES)
def test_no_end_can_be_cut_off(length: int) -> None:
    payload = seal(os.urandom(length))
    for end in {0, 1, NONCE_LENGTH - 1, NONCE_LENGTH, len(payload) - 1, len(payload) - TAG_LENGTH,
                *range(NONCE_LENGTH, len(payload), SEALED_LENGTH)}:  # fmt: skip
        for reader in (open_all, open_buffer):
            with pytest.raises(PayloadInvalid):
                reader(payload[:end])
        with pytest.raises(PayloadInvalid):
            open_range(payload[:end], 0, 1)


@pytest.mark.parametrize("length", EDGES)
def test_nothing_can_be_appended(length: int) -> None:
    payload = seal(os.urandom(length))
    for tail in (b"x", bytes(TAG_LENGTH), payload[NONCE_LENGTH:], bytes(SEALED_LENGTH)):
        for reader in (open_all, open_buffer):
            with pytest.raises(PayloadInvalid):
                reader(payload + tail)
        with pytest.raises(PayloadInvalid):
            open_range(payload + tail, 0, 1)


def test_trailing_data_is_seen_even_when_the_length_says_otherwise() -> None:
    payload = seal(b"plaintext")
    with pytest.raises(PayloadInvalid):
        decrypt_to_buffer(KEY, [payload, b"x"], len(payload))


def test_chunks_cannot_change_places() -> None:
    payload = seal(os.urandom(3 * CHUNK_LENGTH))
    head, body = payload[:NONCE_LENGTH], payload[NONCE_LENGTH:]
    first, second, third = (body[i * SEALED_LENGTH : (i + 1) * SEALED_LENGTH] for i in range(3))
    for order in (second + first + third, first + third, first + first + third, third):
        with pytest.raises(PayloadInvalid):
            open_all(head + order)


def test_an_empty_last_chunk_is_for_empty_files_only() -> None:
    from gateway.artifacts.age.payload import _aead, _nonce

    head = b"n" * NONCE_LENGTH
    aead = _aead(KEY, head)
    full = aead.encrypt(_nonce(0, last=False), bytes(CHUNK_LENGTH), None)
    empty = aead.encrypt(_nonce(1, last=True), b"", None)
    with pytest.raises(PayloadInvalid):
        open_all(head + full + empty)


def test_another_file_key_opens_nothing() -> None:
    payload = seal(b"plaintext")
    with pytest.raises(PayloadInvalid):
        b"".join(decrypt_stream(b"x" * 16, [payload]))


@settings(max_examples=40)
@given(st.sampled_from(EDGES), st.integers(0, 210_000), st.integers(0, 210_000))
def test_a_range_is_the_slice(length: int, start: int, count: int) -> None:
    plaintext = bytes(i % 251 for i in range(length))
    assert open_range(seal(plaintext), start, count) == plaintext[start : start + count]


def test_a_range_reads_the_end_first_and_little_else() -> None:
    payload = seal(os.urandom(10 * CHUNK_LENGTH))
    reads: list[tuple[int, int]] = []

    def read_at(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return payload[offset : offset + length]

    decrypt_range(KEY, read_at, len(payload), CHUNK_LENGTH, 10)
    assert [offset // SEALED_LENGTH for offset, _ in reads] == [0, 9, 1]


def test_a_range_refuses_an_altered_end() -> None:
    payload = bytearray(seal(os.urandom(3 * CHUNK_LENGTH)))
    payload[-1] ^= 1
    with pytest.raises(PayloadInvalid):
        open_range(bytes(payload), 0, 10)


def test_a_negative_range_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="range"):
        open_range(seal(b"x"), -1, 1)


@given(st.binary(max_size=300))
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    for reader in (open_all, open_buffer):
        with pytest.raises(PayloadInvalid):
            reader(data)


def test_the_buffer_is_wiped_while_a_view_still_looks_at_it() -> None:
    buffer = SecretBuffer(3 << 20)
    buffer[:] = b"s" * (3 << 20)
    view = memoryview(buffer)
    buffer.wipe()
    assert bytes(view) == bytes(3 << 20)
    view.release()
    buffer.wipe()
    assert buffer.closed
    buffer.wipe()
