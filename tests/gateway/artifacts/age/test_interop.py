"""Files travel both ways between this implementation and three others."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pyrage
import pytest

from gateway.artifacts.age import (
    Identity,
    PayloadEncryptor,
    decrypt_stream,
    generate_identity,
    make_header,
    parse_identity,
    parse_recipient,
    read_header,
)
from tests.tools import require_tool

VECTORS = Path(__file__).parents[3] / "vectors" / "age"
LENGTHS = pytest.mark.parametrize("length", [0, 1, 65536, 65537, 200_000])


def encrypt(plaintext: bytes, *recipients: str) -> bytes:
    key = os.urandom(16)
    encryptor = PayloadEncryptor(key, os.urandom)
    header = make_header(key, [parse_recipient(text) for text in recipients], os.urandom)
    return header + encryptor.update(plaintext) + encryptor.finish()


def decrypt(data: bytes, identity: Identity) -> bytes:
    stream = io.BytesIO(data)
    return b"".join(decrypt_stream(read_header(stream).open([identity]), stream))


@LENGTHS
def test_pyrage_opens_ours_and_we_open_its(length: int) -> None:
    plaintext = os.urandom(length)
    ours = generate_identity(os.urandom)
    theirs = pyrage.x25519.Identity.generate()
    data = encrypt(plaintext, ours.recipient, str(theirs.to_public()))
    assert pyrage.decrypt(data, [theirs]) == plaintext
    recipient = pyrage.x25519.Recipient.from_str(ours.recipient)
    assert decrypt(pyrage.encrypt(plaintext, [recipient]), ours) == plaintext


def test_identities_are_the_same_text_in_pyrage() -> None:
    theirs = pyrage.x25519.Identity.generate()
    assert parse_identity(str(theirs)).recipient == str(theirs.to_public())
    ours = generate_identity(os.urandom)
    assert str(pyrage.x25519.Identity.from_str(ours.secret).to_public()) == ours.recipient


@pytest.mark.e2e
@LENGTHS
def test_the_age_command_opens_ours_and_we_open_its(length: int, tmp_path: Path) -> None:
    program = require_tool("age")
    plaintext = os.urandom(length)
    identity = generate_identity(os.urandom)
    (tmp_path / "key").write_text(identity.secret + "\n")
    (tmp_path / "ours.age").write_bytes(encrypt(plaintext, identity.recipient))

    def age(*arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(
            [program, *arguments],
            input=stdin,
            cwd=tmp_path,
            check=True,
            capture_output=True,
        ).stdout

    assert age("--decrypt", "-i", "key", "ours.age") == plaintext
    assert decrypt(age("-r", identity.recipient, stdin=plaintext), identity) == plaintext


@pytest.mark.parametrize("kind", ["x25519", "hybrid"])
def test_we_open_what_typage_made(kind: str) -> None:
    comment, secret = (VECTORS / f"{kind}.txt").read_text().splitlines()
    identity = parse_identity(secret)
    assert comment == f"# public key: {identity.recipient}"
    plaintext = bytes(i * 7 % 251 for i in range(70_000))
    assert decrypt((VECTORS / f"{kind}.age").read_bytes(), identity) == plaintext


@pytest.mark.parametrize("post_quantum", [False, True])
def test_one_payload_serves_many_headers(post_quantum: bool) -> None:
    key, plaintext = os.urandom(16), os.urandom(100_000)
    encryptor = PayloadEncryptor(key, os.urandom)
    payload = encryptor.update(plaintext) + encryptor.finish()
    for _ in range(3):
        site = generate_identity(os.urandom, post_quantum=post_quantum)
        header = make_header(key, [parse_recipient(site.recipient)], os.urandom)
        assert decrypt(header + payload, site) == plaintext
