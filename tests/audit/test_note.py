from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import NoteInvalid
from audit.note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    LogSigner,
    NoteVerifier,
    checkpoint_of,
    parse_checkpoint,
)
from tests.audit.samples import signer

VECTOR = json.loads(
    (Path(__file__).parents[1] / "vectors" / "audit" / "signed_note.json").read_text()
)
ROOT = bytes(range(32))


def test_the_reference_note_opens_with_its_key() -> None:
    verifier = NoteVerifier.parse(VECTOR["vkey"])
    assert verifier.name == "PeterNeumann"
    assert verifier.open(VECTOR["note"].encode()) == VECTOR["text"]


def test_the_example_checkpoint_of_the_specification() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.to_text() == text


def test_a_signed_checkpoint_opens_with_the_key_that_was_handed_out() -> None:
    note = signer("acme").checkpoint(7, ROOT)
    verifier = NoteVerifier.parse(signer("acme").verifier_key)
    assert verifier.open_checkpoint(note) == Checkpoint("log.example/acme", 7, ROOT)
    assert checkpoint_of(note).size == 7


def test_signatures_of_witnesses_are_skipped() -> None:
    note = signer("acme").checkpoint(7, ROOT)
    other = signer("witness").sign(note.decode().rpartition("\n\n")[0] + "\n")
    line = other.decode().rpartition("\n\n")[2].encode()
    head, lines = note.decode().rsplit("\n\n", 1)
    both = f"{head}\n\n".encode() + line + lines.encode()
    assert signer("acme").verifier.open_checkpoint(both).size == 7
    with pytest.raises(NoteInvalid):
        signer("globex").verifier.open(both)


def test_every_flipped_bit_is_noticed() -> None:
    note = signer("acme").checkpoint(7, ROOT)
    for at in range(len(note)):
        for bit in (1, 128):
            forged = note[:at] + bytes([note[at] ^ bit]) + note[at + 1 :]
            with pytest.raises(NoteInvalid):
                signer("acme").verifier.open_checkpoint(forged)


def test_a_checkpoint_of_another_origin_is_refused_even_if_signed() -> None:
    text = Checkpoint("log.example/globex", 7, ROOT).to_text()
    with pytest.raises(NoteInvalid):
        signer("acme").verifier.open_checkpoint(signer("acme").sign(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n9999999999999999999\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAA\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n\u0661\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    ],
)
def test_other_texts_are_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+b",
        "a+00000000+AAAA",
        VECTOR["vkey"].replace("c74f20a3", "c74f20a4"),
        VECTOR["vkey"].replace("c74f20a3", "C74F20A3"),
        VECTOR["vkey"].replace("PeterNeumann", "Peter Neumann"),
        VECTOR["vkey"].replace("ARpc", "Apcc"),
        VECTOR["vkey"] + "\n",
        VECTOR["vkey"] + "+",
        "x" * 400 + VECTOR["vkey"],
    ],
)
def test_other_keys_are_refused(vkey: str) -> None:
    with pytest.raises(NoteInvalid):
        NoteVerifier.parse(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "x" * 256])
def test_a_signer_has_a_name_that_fits_a_note(name: str) -> None:
    with pytest.raises(NoteInvalid):
        LogSigner(name, signer("acme")._key)


def test_a_note_is_bounded() -> None:
    note = signer("acme").sign("x" * MAX_NOTE_BYTES + "\n")
    with pytest.raises(NoteInvalid):
        signer("acme").verifier.open(note)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8")))
def test_any_bytes_end_as_our_error(note: bytes) -> None:
    for reader in (signer("acme").verifier.open, checkpoint_of):
        with pytest.raises(NoteInvalid):
            reader(note)
    with pytest.raises(NoteInvalid):
        NoteVerifier.parse(note.decode("latin-1"))


@given(st.text(max_size=80))
def test_any_signature_line_ends_as_our_error(line: str) -> None:
    text = signer("acme").checkpoint(1, ROOT).decode().rpartition("\n\n")[0]
    forged = f"{text}\n\n\u2014 log.example/acme {line}\n".encode()
    with pytest.raises(NoteInvalid):
        signer("acme").verifier.open(forged)
