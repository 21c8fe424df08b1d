"""The newest signed head of each tree: checked at the start, and no tree may fall behind it.

1. At the start every stored tree must carry its own valid checkpoint, of its own size and root,
   and must have grown out of the checkpoint pinned outside the store, if there is one. That one
   may be older than the log's newest key.
2. While the log runs, a tree may never be smaller than what this process saw committed.
3. Pins are written after the commit, off its path, and only ever move forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audit.errors import LogRolledBack, NoteInvalid, ProofInvalid
from audit.note import LogSigner
from audit.pins import Pins
from audit.ports import LogStore, TreeState
from audit.tiles import Prover
from audit.tree import Frontier


class Heads:
    """The newest known head of each tree.

    Args:
        store: Where the trees are.
        signer: Returns the signer of a tenant's tree.
        pins: Where the heads are pinned; None pins nothing.
    """

    def __init__(
        self, store: LogStore, signer: Callable[[str], LogSigner], pins: Pins | None
    ) -> None:
        self._store = store
        self._signer = signer
        self._pins = pins
        self._states: dict[str, TreeState] = {}
        self._behind = False

    def size(self, tenant: str) -> int:
        """Return the least size that the tenant's tree must have."""
        state = self._states.get(tenant)
        return 0 if state is None else state.size

    def check(self) -> None:
        """Read and check all trees.

        Raises:
            LogRolledBack: See claim 1.
        """
        pinned = dict(self._pins.load()) if self._pins is not None else {}
        try:
            for tenant in self._store.tenants():
                state = self._store.tree(tenant)
                assert state is not None, "a listed tenant has a tree"
                self._check_tree(tenant, state, pinned)
                self._states[tenant] = state
        except (NoteInvalid, ProofInvalid) as fault:
            raise LogRolledBack from fault
        known = {self._signer(tenant).origin for tenant in self._states}
        if not known >= pinned.keys():
            raise LogRolledBack("a log that was signed before is missing")

    def advance(self, states: Mapping[str, TreeState]) -> None:
        """Take note of committed heads."""
        self._states.update(states)
        self._behind = self._pins is not None

    def pin(self) -> None:
        """Pin the heads, if any moved.

        Raises:
            StoreFault: They could not be written; a later call tries again.
        """
        if not self._behind or self._pins is None:
            return
        notes = {self._signer(tenant).origin: state.note for tenant, state in self._states.items()}
        self._pins.save(notes)
        self._behind = False

    def _check_tree(self, tenant: str, state: TreeState, pinned: Mapping[str, bytes]) -> None:
        signer = self._signer(tenant)
        checkpoint = signer.verifier.open_checkpoint(state.note)
        frontier = Frontier.from_bytes(state.size, state.frontier)
        if (checkpoint.size, checkpoint.root) != (state.size, frontier.root()):
            raise LogRolledBack
        note = pinned.get(signer.origin)
        if note is None:
            return
        by = next((key for key in signer.former if key.has_signed(note)), signer.verifier)
        old = by.open_checkpoint(note)
        if old.size > state.size:
            raise LogRolledBack
        prover = Prover(lambda level, number: self._store.tile(tenant, level, number))
        if old.size and prover.root(old.size) != old.root:
            raise LogRolledBack
