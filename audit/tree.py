"""Merkle trees of RFC 6962, section 2.1: hashes, the growing edge, and the checking of proofs.

Pure: bytes in, bytes out. A tree hash is 32 bytes of SHA-256; leaves and inner nodes are hashed
under different prefixes, so that neither can pass for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from audit.errors import ProofInvalid

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

MAX_TREE_SIZE = 2**63 - 1
"""C2SP tlog-checkpoint and SQL integers both end here."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree: enough to append to it and to know its root.

    Attributes:
        size: Number of leaves.
    """

    __slots__ = ("_stack", "size")

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []

    @classmethod
    def from_bytes(cls, size: int, hashes: bytes) -> Frontier:
        """Return the frontier that `to_bytes` wrote.

        Raises:
            ProofInvalid: The number of hashes does not fit the size.
        """
        if not 0 <= size <= MAX_TREE_SIZE or len(hashes) != size.bit_count() * HASH_SIZE:
            raise ProofInvalid("the frontier does not fit the size of the tree")
        frontier = cls()
        frontier.size = size
        frontier._stack = [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]
        return frontier

    def to_bytes(self) -> bytes:
        """Return the roots of the perfect subtrees, largest first."""
        return b"".join(self._stack)

    def append(self, leaf: bytes) -> list[bytes]:
        """Add a leaf hash.

        Returns:
            The hashes of the nodes that it completed, from the leaf upwards: item `k` is
            node `size_before >> k` of height `k`.
        """
        stack = self._stack
        completed = [leaf]
        position = self.size
        while position & 1:
            leaf = node_hash(stack.pop(), leaf)
            completed.append(leaf)
            position >>= 1
        stack.append(leaf)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the tree hash (RFC 6962, section 2.1)."""
        if not self._stack:
            return EMPTY_ROOT
        *rest, root = self._stack
        for left in reversed(rest):
            root = node_hash(left, root)
        return root


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2).

    Raises:
        ProofInvalid: The proof has not the form that index and size ask for.
    """
    if not 0 <= index < size <= MAX_TREE_SIZE or any(len(h) != HASH_SIZE for h in (leaf, *proof)):
        raise ProofInvalid
    node, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise ProofInvalid
    return root


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf hash is at `index` in the tree of this size and root.

    Raises:
        ProofInvalid: It is not, or the proof is malformed.
    """
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise ProofInvalid


def verify_consistency(
    old_size: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a tree only grew (RFC 9162, section 2.1.4.2).

    From the empty tree every tree grows: that takes no proof, and the old root must be the
    empty one.

    Raises:
        ProofInvalid: The newer tree does not start with the older one.
    """
    if not 0 <= old_size <= size <= MAX_TREE_SIZE:
        raise ProofInvalid
    if any(len(h) != HASH_SIZE for h in (old_root, root, *proof)):
        raise ProofInvalid
    if old_size in (0, size):
        if proof or old_root != (EMPTY_ROOT if old_size == 0 else root):
            raise ProofInvalid
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofInvalid
    node, last = old_size - 1, size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old, new = path[0], path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        node >>= 1
        last >>= 1
    if last or old != old_root or new != root:
        raise ProofInvalid
