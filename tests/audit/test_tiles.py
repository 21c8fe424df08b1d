from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import EntryUnknown, ProofInvalid
from audit.tiles import Prover, TileAddress, grow, parse_tile_path, tile_path, tiles_of
from audit.tree import Frontier, leaf_hash


def numbered(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % n) for n in range(count)]


def read_from(tiles: dict[tuple[int, int], bytes], leaves: list[bytes]):  # type: ignore[no-untyped-def]
    def read(level: int, number: int) -> bytes:
        if level == 0 and (0, number) not in tiles:
            return b"".join(leaves[256 * number : 256 * (number + 1)])
        return tiles.get((level, number), b"")

    return read


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (TileAddress(0, 0, 256), "tile/0/000"),
        (TileAddress(0, 1234067, 256), "tile/0/x001/x234/067"),
        (TileAddress(1, 0, 1), "tile/1/000.p/1"),
        (TileAddress(None, 999, 256), "tile/entries/999"),
        (TileAddress(None, 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_paths_of_the_specification(address: TileAddress, path: str) -> None:
    assert tile_path(address) == path
    assert parse_tile_path(path) == address


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/8/000",
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/x000/000",
        "tile/0/000/",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/00/000",
        "tile/entries/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/\u0661\u0662\u0663",
    ],
)
def test_other_paths_are_unknown(path: str) -> None:
    with pytest.raises(EntryUnknown):
        parse_tile_path(path)


@given(st.text(alphabet="tile/0123x.p", max_size=30) | st.text(max_size=10))
def test_any_path_is_an_address_or_our_error(path: str) -> None:
    try:
        assert tile_path(parse_tile_path(path)) == path
    except EntryUnknown:
        return


@settings(max_examples=20)
@given(st.lists(st.sampled_from([1, 2, 255, 256, 257, 600, 20_000]), min_size=1, max_size=5))
def test_tiles_grown_in_batches_are_those_of_the_whole(batches: list[int]) -> None:
    leaves = numbered(sum(batches))
    frontier = Frontier()
    tiles: dict[tuple[int, int], bytes] = {}
    for batch in batches:
        start = frontier.size
        present = leaves[:start]
        tiles |= grow(frontier, leaves[start : start + batch], read_from(tiles, present))
    assert tiles == grow(Frontier(), leaves, lambda level, number: b"")
    read = read_from(tiles, leaves)
    assert Prover(read).root(len(leaves)) == frontier.root()
    for address in tiles_of(len(leaves)):
        assert address.level is not None
        tile = read(address.level, address.number)
        assert len(tile) == 32 * address.width
        prover = Prover(read_from({}, leaves)) if address.level == 0 else Prover(read)
        first = prover.node(8 * address.level, 256 * address.number)
        assert tile[:32] == first


def test_level_one_holds_the_roots_of_full_tiles() -> None:
    leaves = numbered(512)
    tiles = grow(Frontier(), leaves, lambda level, number: b"")
    roots = []
    for start in (0, 256):
        frontier = Frontier()
        for leaf in leaves[start : start + 256]:
            frontier.append(leaf)
        roots.append(frontier.root())
    assert tiles[1, 0] == b"".join(roots)
    assert set(tiles) == {(0, 0), (0, 1), (1, 0)}


def test_a_stored_tile_of_another_length_stops_the_growth() -> None:
    frontier = Frontier()
    grow(frontier, numbered(300), lambda level, number: b"")
    with pytest.raises(ProofInvalid):
        grow(frontier, numbered(300), lambda level, number: bytes(32 * 7))


def test_a_missing_tile_stops_a_proof() -> None:
    with pytest.raises(ProofInvalid):
        Prover(lambda level, number: b"").inclusion(0, 2)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_beyond_the_tree(index: int, size: int) -> None:
    with pytest.raises(EntryUnknown):
        Prover(lambda level, number: bytes(8192)).inclusion(index, size)


@pytest.mark.parametrize("old_size", [-1, 4])
def test_a_tree_is_not_consistent_with_a_larger_one(old_size: int) -> None:
    with pytest.raises(EntryUnknown):
        Prover(lambda level, number: bytes(8192)).consistency(old_size, 3)
