"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint) with Ed25519.

1. A note is accepted only when the expected key signed exactly its text: name, key hash and
   signature must all fit. Signatures of other keys (witnesses) are skipped, not trusted.
2. A parsed checkpoint is in the one form that it is written in: no other bytes mean the same.
3. The name of the signing key is the origin of the log, and the first line must repeat it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.errors import NoteInvalid
from audit.tree import HASH_SIZE, MAX_TREE_SIZE

MAX_NOTE_BYTES = 65_536
"""A checkpoint takes 250 bytes; witnesses add 150 each."""

MAX_SIGNATURES = 100
"""A log has one key and a handful of witnesses; Go's reader stops at 100 as well."""

MAX_NAME_CHARS = 255

_ALGORITHM_ED25519 = b"\x01"
_SIGNATURE_PREFIX = "\u2014 "
_NAME = re.compile(rf"[^\s+\x00-\x1f\x7f]{{1,{MAX_NAME_CHARS}}}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin, the number of entries and the tree's root."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """Return the note text (C2SP tlog-checkpoint, "Note text")."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class NoteVerifier:
    """A named Ed25519 public key.

    Args:
        name: The key's name, which for a log is its origin.
        public_key: 32 raw bytes.

    Raises:
        NoteInvalid: The name has a space or a plus, or the key is no key.
    """

    def __init__(self, name: str, public_key: bytes) -> None:
        if _NAME.fullmatch(name) is None:
            raise NoteInvalid("the name of a verifier key is malformed")
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public_key)
            self.key_hash = _key_hash(name, public_key)
        except ValueError as fault:
            raise NoteInvalid("the verifier key is malformed") from fault
        self.name = name
        self._public = public_key

    @classmethod
    def parse(cls, vkey: str) -> NoteVerifier:
        """Return the verifier that a vkey names: `name+hash+base64`.

        Raises:
            NoteInvalid: The vkey is malformed or not an Ed25519 one.
        """
        name, plus, rest = vkey.partition("+")
        key_hash, second_plus, encoded = rest.partition("+")
        if not plus or not second_plus or len(vkey) > MAX_NAME_CHARS + 64:
            raise NoteInvalid("the verifier key is malformed")
        key = _decode_base64(encoded)
        if key[:1] != _ALGORITHM_ED25519:
            raise NoteInvalid("the verifier key is not an Ed25519 one")
        verifier = cls(name, key[1:])
        if verifier.key_hash.hex() != key_hash or verifier.vkey != vkey:
            raise NoteInvalid("the verifier key does not fit its own hash")
        return verifier

    @property
    def vkey(self) -> str:
        """The key in the form that `parse` reads."""
        encoded = base64.b64encode(_ALGORITHM_ED25519 + self._public).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"

    def open(self, note: bytes) -> str:
        """Return the text of a note that this key signed.

        Raises:
            NoteInvalid: It is malformed, or this key's signature is missing or wrong.
        """
        text, lines = _split(note)
        for line in lines:
            name, _, encoded = line.partition(" ")
            signature = _decode_base64(encoded)
            if name != self.name or signature[:4] != self.key_hash:
                continue
            try:
                self._key.verify(signature[4:], text.encode())
            except InvalidSignature as fault:
                raise NoteInvalid from fault
            return text
        raise NoteInvalid

    def has_signed(self, note: bytes) -> bool:
        """Tell whether this key signed a note."""
        try:
            self.open(note)
        except NoteInvalid:
            return False
        return True

    def open_checkpoint(self, note: bytes) -> Checkpoint:
        """Return the checkpoint of this log that this key signed.

        Raises:
            NoteInvalid: As for `open`, or the text is not a checkpoint of this origin.
        """
        checkpoint = parse_checkpoint(self.open(note))
        if checkpoint.origin != self.name:
            raise NoteInvalid("the checkpoint is of another log")
        return checkpoint


class LogSigner:
    """Signs the checkpoints of one log.

    Args:
        origin: The log's origin, which is also the name of the key.
        key: The log's private key.
        former: Keys that signed before this one, newest first.
        successor: The key that is to follow, while that is being arranged (`audit.succession`).

    Raises:
        NoteInvalid: The origin has a space or a plus.
    """

    def __init__(
        self,
        origin: str,
        key: Ed25519PrivateKey,
        *,
        former: Sequence[NoteVerifier] = (),
        successor: Ed25519PrivateKey | None = None,
    ) -> None:
        self.origin = origin
        self.verifier = NoteVerifier(origin, key.public_key().public_bytes_raw())
        self.former = tuple(former)
        self._key = key
        self._successor = successor

    @property
    def successor(self) -> LogSigner | None:
        """The signer that is to follow."""
        if self._successor is None:
            return None
        return LogSigner(self.origin, self._successor, former=(self.verifier, *self.former))

    @property
    def verifier_key(self) -> str:
        """The vkey that verifies this signer's notes."""
        return self.verifier.vkey

    def signature(self, text: str) -> str:
        """Return the signature line of a text that ends with a newline (C2SP signed-note)."""
        signature = self.verifier.key_hash + self._key.sign(text.encode())
        return f"{_SIGNATURE_PREFIX}{self.origin} {base64.b64encode(signature).decode()}\n"

    def sign(self, text: str) -> bytes:
        """Return the signed note of a text that ends with a newline (C2SP signed-note)."""
        return f"{text}\n{self.signature(text)}".encode()

    def checkpoint(self, size: int, root: bytes) -> bytes:
        """Return the signed checkpoint of this log at a size."""
        return self.sign(Checkpoint(self.origin, size, root).to_text())


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that a note text holds. Extension lines are refused: there are none.

    Raises:
        NoteInvalid: The text is not a checkpoint.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0] or _SIZE.fullmatch(lines[1]) is None:
        raise NoteInvalid("the note is not a checkpoint")
    checkpoint = Checkpoint(lines[0], int(lines[1]), _decode_base64(lines[2]))
    if checkpoint.size > MAX_TREE_SIZE or len(checkpoint.root) != HASH_SIZE:
        raise NoteInvalid("the note is not a checkpoint")
    return checkpoint


def checkpoint_of(note: bytes) -> Checkpoint:
    """Return the checkpoint of a note WITHOUT checking who signed it.

    Raises:
        NoteInvalid: The note or its text is malformed.
    """
    return parse_checkpoint(_split(note)[0])


def _split(note: bytes) -> tuple[str, list[str]]:
    """Return the text and the signature lines, without their prefix."""
    if len(note) > MAX_NOTE_BYTES:
        raise NoteInvalid
    try:
        whole = note.decode()
    except UnicodeDecodeError as fault:
        raise NoteInvalid from fault
    text, blank, signatures = whole.rpartition("\n\n")
    lines = signatures.split("\n")
    if not blank or not text or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise NoteInvalid
    if any(ord(c) < 0x20 and c != "\n" for c in whole):
        raise NoteInvalid
    if not all(line.startswith(_SIGNATURE_PREFIX) for line in lines):
        raise NoteInvalid
    return text + "\n", [line.removeprefix(_SIGNATURE_PREFIX) for line in lines]


def _decode_base64(text: str) -> bytes:
    """Decode canonical standard base64."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise NoteInvalid from fault
    if base64.b64encode(value).decode() != text:
        raise NoteInvalid
    return value


def _key_hash(name: str, public_key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _ALGORITHM_ED25519 + public_key).digest()[:4]
