"""The tiled form of a tree (C2SP tlog-tiles, height 8): addresses, growth, proofs from tiles.

Tile `number` of level `level` holds up to 256 hashes: hash `i` is the node of height `8 * level`
at position `256 * number + i`. Pure: tiles come and go through a callable and a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from audit.errors import EntryUnknown, ProofInvalid
from audit.tree import HASH_SIZE, MAX_TREE_SIZE, Frontier, node_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT
TILE_BYTES = WIDTH * HASH_SIZE
MAX_LEVEL = 63 // HEIGHT

ReadTile = Callable[[int, int], bytes]
"""(level, number) to the hashes of that tile that are there."""

_PATH = re.compile(
    r"tile/(?P<level>entries|[0-7])/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TileAddress(NamedTuple):
    """Where a tile is. `level` is None for a bundle of entries; `width` is 1 to 256."""

    level: int | None
    number: int
    width: int


def tile_path(address: TileAddress) -> str:
    """Return the path of a tile or entry bundle (C2SP tlog-tiles, "Merkle Tree")."""
    level = "entries" if address.level is None else str(address.level)
    number = address.number
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    partial = "" if address.width == WIDTH else f".p/{address.width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def parse_tile_path(path: str) -> TileAddress:
    """Return the address that a path names.

    Raises:
        EntryUnknown: The path is not the one form in which that tile is written.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise EntryUnknown
    level = None if match["level"] == "entries" else int(match["level"])
    number = int(match["number"].replace("x", "").replace("/", ""))
    address = TileAddress(level, number, int(match["width"] or WIDTH))
    if not address.width <= WIDTH or number > MAX_TREE_SIZE // WIDTH or tile_path(address) != path:
        raise EntryUnknown
    return address


def tiles_of(size: int) -> Iterable[TileAddress]:
    """Yield every tile of a tree of this size, the partial ones last in their level."""
    for level in range(MAX_LEVEL + 1):
        hashes = size >> (HEIGHT * level)
        for number in range(hashes // WIDTH):
            yield TileAddress(level, number, WIDTH)
        if hashes % WIDTH:
            yield TileAddress(level, hashes // WIDTH, hashes % WIDTH)
        if hashes < WIDTH:
            return


def grow(
    frontier: Frontier, leaves: Sequence[bytes], read: ReadTile
) -> dict[tuple[int, int], bytes]:
    """Append leaf hashes to a frontier and return the tiles to store.

    Level 0 is stored once a tile is full; until then its hashes are those of the entries.
    Higher tiles are returned whenever they change, once every 256 entries.

    Raises:
        ProofInvalid: A stored tile has another length than the tree's size asks for.
    """
    start = frontier.size
    changed: dict[tuple[int, int], bytearray] = {}
    for leaf in leaves:
        position = frontier.size
        completed = frontier.append(leaf)
        for level, node in enumerate(completed[HEIGHT::HEIGHT], 1):
            number, offset = divmod(position >> (HEIGHT * level), WIDTH)
            tile = changed.get((level, number))
            if tile is None:
                tile = changed[level, number] = _begin(read, level, number, offset)
            tile += node
    for number in range(start // WIDTH, frontier.size // WIDTH):
        first = number * WIDTH - start
        tile = _begin(read, 0, number, max(0, -first))
        tile += b"".join(leaves[max(0, first) : first + WIDTH])
        changed[0, number] = tile
    return {address: bytes(tile) for address, tile in changed.items()}


def _begin(read: ReadTile, level: int, number: int, offset: int) -> bytearray:
    tile = bytearray(read(level, number) if offset else b"")
    if len(tile) != offset * HASH_SIZE:
        raise ProofInvalid("a stored tile does not fit the size of the tree")
    return tile


class Prover:
    """Computes roots and proofs of one tree from its tiles.

    Reads each tile once and keeps what it folded, so one instance should serve one request.

    Args:
        read: Returns the hashes of a tile. They are trusted no further than a proof made
            of them, once checked, leads to a signed root.
    """

    def __init__(self, read: ReadTile) -> None:
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}

    def node(self, height: int, position: int) -> bytes:
        """Return the node of this height at this position.

        Raises:
            ProofInvalid: Its tile does not hold what it needs.
        """
        known = self._nodes.get((height, position))
        if known is not None:
            return known
        level, above = divmod(height, HEIGHT)
        if above == 0:
            number, offset = divmod(position, WIDTH)
            if (level, number) not in self._tiles:
                self._tiles[level, number] = self._read(level, number)
            tile = self._tiles[level, number]
            value = tile[offset * HASH_SIZE : (offset + 1) * HASH_SIZE]
            if len(value) != HASH_SIZE:
                raise ProofInvalid("a tile lacks a hash that the tree needs")
        else:
            left = self.node(height - 1, 2 * position)
            value = node_hash(left, self.node(height - 1, 2 * position + 1))
        self._nodes[height, position] = value
        return value

    def root(self, size: int) -> bytes:
        """Return the root of the tree of this size, at least 1, that the tiles begin with."""
        return self._subtree(0, size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of an entry (RFC 6962, section 2.1.1).

        Raises:
            EntryUnknown: The index is not in a tree of this size.
        """
        if not 0 <= index < size:
            raise EntryUnknown
        proof, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._subtree(middle, high))
                high = middle
            else:
                proof.append(self._subtree(low, middle))
                low = middle
        return proof[::-1]

    def consistency(self, old_size: int, size: int) -> list[bytes]:
        """Return the proof that the tree of `old_size` grew to `size` (RFC 6962, section 2.1.2).

        Raises:
            EntryUnknown: `old_size` is over `size`.
        """
        if not 0 <= old_size <= size:
            raise EntryUnknown
        if old_size in (0, size):
            return []
        proof, low, high, whole = [], 0, size, True
        while old_size != high:
            middle = low + _split(high - low)
            if old_size <= middle:
                proof.append(self._subtree(middle, high))
                high = middle
            else:
                proof.append(self._subtree(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self._subtree(low, high))
        return proof[::-1]

    def _subtree(self, low: int, high: int) -> bytes:
        width = high - low
        if width & (width - 1) == 0:
            return self.node(width.bit_length() - 1, low // width)
        middle = low + _split(width)
        return node_hash(self._subtree(low, middle), self._subtree(middle, high))


def _split(width: int) -> int:
    """Return the largest power of two below `width` (RFC 6962, section 2.1)."""
    return 1 << ((width - 1).bit_length() - 1)
