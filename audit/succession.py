"""One key of a log follows another, endorsed by the one before it, in the log itself.

1. The endorsement is a note over the log's origin and both keys, signed by both: the old one names
   the new one, and the new one shows that somebody has it. Its first line is that of no checkpoint,
   so neither can pass as the other.
2. It is an entry of the log. The checkpoint of the commit that brings it is signed by both keys,
   every earlier one by the old key alone and every later one by the new key alone. Whoever trusts
   the old key and reads the log comes to the new one; `audit.verify` does.
3. Which key signs next is read off the newest checkpoint (`in_force`), not off a memory of what was
   meant to happen: a process that dies at any point of this goes on with the right one.

What this cannot do: somebody who has the *old* private key can endorse a key of his own, in a log
of his own. The keeper of keys forgets the old private key for that reason; kept checkpoints show
such a log.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.errors import NoteInvalid
from audit.note import Checkpoint, LogSigner, NoteVerifier
from audit.ports import TreeState

ACTION = "rotateLogKey"
"""The action of the event that holds an endorsement."""

HEAD = "sealgate log key succession v1"


@dataclass(frozen=True, slots=True)
class Handover:
    """Signs the one checkpoint that both keys sign."""

    before: LogSigner
    after: LogSigner

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self.before.origin

    def checkpoint(self, size: int, root: bytes) -> bytes:
        """Return the checkpoint under both signatures."""
        text = Checkpoint(self.origin, size, root).to_text()
        return _signed_by_both(text, self.before, self.after).encode()


def endorsement(before: LogSigner, after: LogSigner) -> str:
    """Return the signed note by which `after` follows `before`.

    Raises:
        NoteInvalid: They are of different logs, or one key twice.
    """
    if before.origin != after.origin or before.verifier_key == after.verifier_key:
        raise NoteInvalid("a key cannot follow this one")
    text = f"{HEAD}\n{before.origin}\n{before.verifier_key}\n{after.verifier_key}\n"
    return _signed_by_both(text, before, after)


def endorsed(note: str, before: NoteVerifier) -> NoteVerifier:
    """Return the key that follows `before`.

    Raises:
        NoteInvalid: The note is not one by which this key and the one that follows say so.
    """
    lines = before.open(note.encode()).split("\n")
    if len(lines) != 5 or lines[:3] != [HEAD, before.name, before.vkey]:
        raise NoteInvalid("the note endorses no key")
    after = NoteVerifier.parse(lines[3])
    if after.name != before.name:
        raise NoteInvalid("the note endorses the key of another log")
    after.open(note.encode())
    return after


def in_force(signer: LogSigner, head: TreeState | None) -> LogSigner:
    """Return what signs next: the successor, if the newest checkpoint has its signature already.

    Args:
        signer: As the keeper of keys has it.
        head: The stored head of the tree, if there is one.
    """
    successor = signer.successor
    if successor is not None and head is not None and successor.verifier.has_signed(head.note):
        return successor
    return signer


def _signed_by_both(text: str, before: LogSigner, after: LogSigner) -> str:
    return f"{text}\n{before.signature(text)}{after.signature(text)}"
