"""The life of the audit log, as a table.

    closed <──> open <──> faulty ──> closed
       └─────────┴──────────┴──────> poisoned

- `closed`: the first and the last state. Nobody may append. After `close` the writer still writes
  and signs the events that were accepted before, and pins the heads; then nothing is signed.
- `open`: the last write succeeded. Everybody may append; the log signs. Only now is it `ready`,
  and only while no write takes longer than the deadline.
- `faulty`: the last write failed, and the store was the cause. Everybody may still append, because
  each batch is a fresh attempt, and the log still signs. The first write or probe that succeeds
  leads back to `open`.
- `poisoned`: something failed that is not the store: a tree went back, contradicts itself, or
  cannot be signed. Nobody may append, and nothing is signed or pinned.

INVARIANT: nothing leads out of `poisoned`. Closing a poisoned log leaves it poisoned: if its heads
were pinned, the next start would take what went wrong for the truth.
"""

from __future__ import annotations

from typing import Final, Literal

from audit.errors import IllegalMove

State = Literal["closed", "open", "faulty", "poisoned"]

FIRST: Final[State] = "closed"
"""The state of a log that was not started yet."""

MOVES: Final[dict[State, frozenset[State]]] = {
    "closed": frozenset({"open", "poisoned"}),
    "open": frozenset({"faulty", "poisoned", "closed"}),
    "faulty": frozenset({"open", "poisoned", "closed"}),
    "poisoned": frozenset(),
}
"""State → the states that may follow it. A closed log can be poisoned by its last events."""

APPENDABLE: Final[frozenset[State]] = frozenset({"open", "faulty"})
"""States in which new events are accepted."""

SIGNING: Final[frozenset[State]] = frozenset({"closed", "open", "faulty"})
"""States in which checkpoints may be signed and heads pinned."""

READY: Final[frozenset[State]] = frozenset({"open"})
"""States in which the log can be ready."""


def moved(state: State, to: State) -> State:
    """Return `to`, the state that follows `state`.

    Raises:
        IllegalMove: The table has no such move.
    """
    if to not in MOVES[state]:
        raise IllegalMove(state, to)
    return to
