from __future__ import annotations

import hashlib
import hmac
import io
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.artifacts.age import (
    Identity,
    generate_identity,
    make_header,
    open_header,
    parse_recipient,
    read_header,
)
from gateway.artifacts.age.header import HEADER_LIMIT, RECIPIENT_LIMIT, STANZA_LIMIT
from gateway.artifacts.age.stanza import encode_base64
from gateway.artifacts.errors import (
    AgeError,
    HeaderForged,
    HeaderInvalid,
    NoMatchingIdentity,
    RecipientInvalid,
    RecipientsMixed,
)

FILE_KEY = bytes(range(16))
IDENTITY = generate_identity(os.urandom)
HYBRID = generate_identity(os.urandom, post_quantum=True)
VERSION = "age-encryption.org/v1\n"


def header_to(*identities: Identity) -> bytes:
    return make_header(FILE_KEY, [parse_recipient(i.recipient) for i in identities], os.urandom)


def mac_of(covered: bytes) -> str:
    """The MAC by RFC 5869 in bare HMACs, so that the test does not trust the code under test."""
    extracted = hmac.digest(bytes(32), FILE_KEY, hashlib.sha256)
    key = hmac.digest(extracted, b"header\x01", hashlib.sha256)
    return encode_base64(hmac.digest(key, covered, hashlib.sha256))


def forge(text: str) -> bytes:
    """A header of the given stanzas whose MAC is right: only its grammar can be wrong."""
    covered = (VERSION + text + "---").encode()
    return covered + b" " + mac_of(covered).encode() + b"\n"


def good_stanza() -> str:
    return parse_recipient(IDENTITY.recipient).wrap(FILE_KEY, os.urandom).encode().decode()


@pytest.mark.parametrize("identity", [IDENTITY, HYBRID], ids=["x25519", "hybrid"])
def test_a_header_opens_for_each_recipient(identity: Identity) -> None:
    others = [generate_identity(os.urandom, post_quantum=identity is HYBRID) for _ in range(2)]
    header = header_to(*others, identity)
    assert open_header(header, [identity]) == FILE_KEY
    with pytest.raises(NoMatchingIdentity):
        open_header(header, [generate_identity(os.urandom)])


def test_the_mac_is_the_one_of_the_specification() -> None:
    header = header_to(IDENTITY)
    covered, _, mac = header.rpartition(b" ")
    assert mac == mac_of(covered).encode() + b"\n"


def test_reading_stops_where_the_payload_begins() -> None:
    header = header_to(IDENTITY)
    stream = io.BytesIO(header + b"payload")
    assert read_header(stream).size == len(header)
    assert stream.read() == b"payload"


def test_kinds_are_never_mixed() -> None:
    with pytest.raises(RecipientsMixed):
        header_to(IDENTITY, HYBRID)


def test_no_recipient_and_too_many_are_refused() -> None:
    for count in (0, RECIPIENT_LIMIT + 1):
        with pytest.raises(RecipientInvalid):
            header_to(*[IDENTITY] * count)


def test_unknown_stanzas_are_passed_over() -> None:
    text = "-> grease-x ! ~\n\n" + good_stanza() + "-> z\nQUJD\n"
    assert open_header(forge(text), [IDENTITY]) == FILE_KEY


def test_a_stanza_whose_body_fills_its_line_needs_an_empty_one() -> None:
    body = "A" * 64
    assert open_header(forge(f"-> z\n{body}\n\n" + good_stanza()), [IDENTITY]) == FILE_KEY
    with pytest.raises(HeaderInvalid):
        open_header(forge(f"-> z\n{body}\n" + good_stanza()), [IDENTITY])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-> \n\n",
        "->\n\n",
        "-> z  two\n\n",
        "-> z \n\n",
        " -> z\n\n",
        "-> z\tx\n\n",
        "-> ü\n\n",
        "-> z\r\n\r\n",
        "-> z\nQUJ=\n",
        "-> z\nQUJ\n",
        "-> z\nQQ==\n",
        "-> z\n" + "A" * 65 + "\n",
        "-> z\n" + "A" * 128 + "\n\n",
        "-> z\nA B\n",
        "-> z\nQUJD",
        "-> z\n",
        "text\n",
        "\n",
        "-> z\n\n" * (STANZA_LIMIT + 1),
    ],
)
def test_a_broken_grammar_is_refused_under_a_right_mac(text: str) -> None:
    with pytest.raises(HeaderInvalid):
        open_header(forge(text + good_stanza() if text else text), [IDENTITY])


def test_a_stanza_of_a_known_kind_must_be_valid() -> None:
    share, body = "A" * 42 + "E", encode_base64(bytes(32))
    for line in (
        f"-> X25519\n{body}\n",
        f"-> X25519 {share} extra\n{body}\n",
        f"-> X25519 {share}A\n{body}\n",
        f"-> X25519 {share[:-1]}F\n{body}\n",  # not canonical
        f"-> X25519 {share}=\n{body}\n",
        f"-> X25519 {share}\n{encode_base64(bytes(33))}\n",
        f"-> X25519 {encode_base64(bytes(32))}\n{body}\n",  # low order
    ):
        with pytest.raises(HeaderInvalid):
            open_header(forge(line + good_stanza()), [IDENTITY])


def test_a_low_order_share_in_a_hybrid_stanza_is_refused() -> None:
    stanza = parse_recipient(HYBRID.recipient).wrap(FILE_KEY, os.urandom)
    share = bytes(1088) + bytes(32)
    line = f"-> mlkem768x25519 {encode_base64(share)}\n{encode_base64(stanza.body)}\n"
    with pytest.raises(HeaderInvalid):
        open_header(forge(line), [HYBRID])


def test_a_passphrase_stanza_must_be_alone() -> None:
    scrypt = "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\n" + encode_base64(bytes(32)) + "\n"
    with pytest.raises(HeaderInvalid):
        open_header(forge(scrypt + good_stanza()), [IDENTITY])
    with pytest.raises(NoMatchingIdentity):
        open_header(forge(scrypt), [IDENTITY])


@pytest.mark.parametrize("line", ["---", "--- ", "---{0}", "---  {0}", "--- {0} ", "--- {0}A"])
def test_a_broken_mac_line_is_refused(line: str) -> None:
    covered = (VERSION + good_stanza() + "---").encode()
    data = covered[:-3] + line.format(mac_of(covered)).encode() + b"\n"
    with pytest.raises(HeaderInvalid):
        open_header(data, [IDENTITY])


def test_a_wrong_mac_is_a_forgery() -> None:
    covered = (VERSION + good_stanza() + "---").encode()
    data = covered + b" " + mac_of(covered + b"x").encode() + b"\n"
    with pytest.raises(HeaderForged):
        open_header(data, [IDENTITY])


def test_what_follows_or_is_missing_is_refused() -> None:
    header = header_to(IDENTITY)
    for data in (header + b"x", header[:-1], b"", header.replace(b"/v1", b"/v2")):
        with pytest.raises(HeaderInvalid):
            open_header(data, [IDENTITY])


def test_a_header_without_end_is_bounded() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.taken += len(buffer)
            buffer[:] = b"A" * len(buffer)
            return len(buffer)

    endless = Endless()
    with pytest.raises(HeaderInvalid):
        read_header(io.BufferedReader(endless))
    assert endless.taken <= HEADER_LIMIT + (64 << 10)


def test_no_single_bit_can_be_changed() -> None:
    header = header_to(IDENTITY)
    for position in range(len(header)):
        for bit in range(8):
            altered = bytearray(header)
            altered[position] ^= 1 << bit
            with pytest.raises(AgeError):
                open_header(bytes(altered), [IDENTITY])


@given(st.binary(max_size=400))
@example(VERSION.encode())
@example(b"age-encryption.org/v1\n-> X25519 \xff\n")
def test_any_bytes_end_as_our_error(data: bytes) -> None:
    for candidate in (data, VERSION.encode() + data):
        with pytest.raises(AgeError):
            open_header(candidate, [IDENTITY, HYBRID])


@given(st.text(alphabet="-> X25519mlke768\nAQ=/+ ", max_size=300))
def test_anything_that_looks_like_stanzas_ends_as_our_error(text: str) -> None:
    with pytest.raises(AgeError):
        open_header(forge(text), [IDENTITY, HYBRID])
