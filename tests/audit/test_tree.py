from __future__ import annotations

import json
from pathlib import Path

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ProofInvalid
from audit.tiles import Prover, grow
from audit.tree import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "audit" / "rfc6962_roots.json").read_text()
)


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(recursive_root(leaves[:k]), recursive_root(leaves[k:]))


def numbered(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % n) for n in range(count)]


def root_of(leaves: list[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def prover_of(leaves: list[bytes]) -> Prover:
    tiles = grow(Frontier(), leaves, lambda level, number: b"")
    return Prover(
        lambda level, number: tiles.get(
            (level, number), b"" if level else b"".join(leaves[256 * number : 256 * (number + 1)])
        )
    )


def test_the_reference_roots_of_rfc_6962() -> None:
    frontier = Frontier()
    assert frontier.root().hex() == VECTORS["empty_root"]
    for leaf, root in zip(VECTORS["leaves"], VECTORS["roots"], strict=True):
        frontier.append(leaf_hash(bytes.fromhex(leaf)))
        assert frontier.root().hex() == root


def test_the_reference_leaf_and_node_are_kept_apart() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert node_hash(left, right) != leaf_hash(left + right)


@given(st.integers(0, 700))
def test_the_frontier_has_the_root_of_the_definition(count: int) -> None:
    leaves = numbered(count)
    assert root_of(leaves) == recursive_root(leaves)


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_frontier_goes_on_from_its_bytes(first: int, more: int) -> None:
    leaves = numbered(first + more)
    frontier = Frontier()
    for leaf in leaves[:first]:
        frontier.append(leaf)
    again = Frontier.from_bytes(frontier.size, frontier.to_bytes())
    for leaf in leaves[first:]:
        again.append(leaf)
    assert again.root() == recursive_root(leaves)


@given(st.integers(-2, 2**64), st.binary(max_size=100))
def test_any_bytes_are_a_frontier_or_our_error(size: int, raw: bytes) -> None:
    try:
        frontier = Frontier.from_bytes(size, raw)
    except ProofInvalid:
        return
    assert frontier.to_bytes() == raw


def test_appending_tells_the_nodes_it_completed() -> None:
    leaves = numbered(8)
    frontier = Frontier()
    for leaf in leaves[:7]:
        frontier.append(leaf)
    completed = frontier.append(leaves[7])
    assert completed == [recursive_root(leaves[8 - 2**k : 8]) for k in range(4)]


@settings(max_examples=60)
@given(st.data())
def test_inclusion_proofs_hold_and_no_other_proof_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    index = data.draw(st.integers(0, size - 1))
    leaves = numbered(size)
    proof = prover_of(leaves).inclusion(index, size)
    root = recursive_root(leaves)
    verify_inclusion(leaves[index], index, size, proof, root)
    other = data.draw(st.integers(0, size - 1))
    for leaf, at, of, path in (
        (leaf_hash(b"forged"), index, size, proof),
        (leaves[index], index, size, [*proof, root]),
        (leaves[index], size, size, proof),
        (leaves[index], -1, size, proof),
        (leaves[index], index, size, [h[:31] for h in proof] or [b""]),
        *([(leaves[index], other, size, proof)] if other != index else []),
        *([(leaves[index], index, size, proof[:-1])] if proof else []),
    ):
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaf, at, of, path, root)
    for at in range(len(proof)):
        broken = [*proof[:at], bytes(32), *proof[at + 1 :]]
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaves[index], index, size, broken, root)


@settings(max_examples=60)
@given(st.data())
def test_consistency_proofs_hold_and_no_other_proof_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    old_size = data.draw(st.integers(0, size))
    leaves = numbered(size)
    proof = prover_of(leaves).consistency(old_size, size)
    old_root, root = recursive_root(leaves[:old_size]), recursive_root(leaves)
    verify_consistency(old_size, size, old_root, root, proof)
    forged = [
        (old_size, size, leaf_hash(b"forged"), root, proof),
        (old_size, size, old_root, root, [*proof, root]),
        (old_size, size, old_root, root, [b"short"]),
        (size + 1, size, old_root, root, proof),
        (-1, size, old_root, root, proof),
    ]
    if proof:
        forged += [
            (old_size, size, old_root, leaf_hash(b"forged"), proof),
            (old_size, size, old_root, root, proof[:-1]),
        ]
    forged += [
        (old_size, size, old_root, root, [*proof[:at], bytes(32), *proof[at + 1 :]])
        for at in range(len(proof))
    ]
    for arguments in forged:
        with pytest.raises(ProofInvalid):
            verify_consistency(*arguments)


@given(
    st.integers(-1, 2**64),
    st.integers(-1, 2**64),
    st.lists(st.binary(min_size=31, max_size=33), max_size=70),
)
def test_any_proof_ends_as_our_error_or_a_root(index: int, size: int, proof: list[bytes]) -> None:
    leaf = leaf_hash(b"x")
    with pytest.raises(ProofInvalid):
        verify_consistency(index, size, leaf, bytes(32), proof)
    try:
        assert len(root_from_inclusion(leaf, index, size, proof)) == 32
    except ProofInvalid:
        return


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 255, 256, 257, 300])
def test_another_implementation_has_the_same_roots_and_proofs(count: int) -> None:
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    entries = [b"entry %d" % n for n in range(count)]
    for entry in entries:
        oracle.append_entry(entry)
    leaves = [leaf_hash(entry) for entry in entries]
    prover = prover_of(leaves)
    assert oracle.get_root() == root_of(leaves) == prover.root(count)
    for index in {0, 1, count // 2, count - 1} & set(range(count)):
        theirs = oracle.prove_inclusion(index + 1)
        assert theirs.path == [leaves[index], *prover.inclusion(index, count)]
    for old in {1, count // 2, count - 1} & set(range(1, count)):
        proof = prover.consistency(old, count)
        verify_consistency(old, count, oracle.get_root(old), oracle.get_root(), proof)
