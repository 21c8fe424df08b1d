"""What the pool asks of whoever starts engines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gateway.engine.orders import Order

PLAIN: Final = "plain"
"""The kind that is always there: the gateway's own Python and runtime, on the processor."""
CPU: Final = ("CPUExecutionProvider",)


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An environment that engines are started from.

    Attributes:
        name: As in the settings.
        python: The interpreter of an environment with a runtime and NumPy.
        providers: The runtime's execution providers, the preferred one first.
    """

    name: str = PLAIN
    python: Path = Path(sys.executable)
    providers: tuple[str, ...] = CPU

    @property
    def wide(self) -> bool:
        """Whether its engines are confined less, as other providers than the plain one need."""
        return self.providers != CPU


class Server(Protocol):
    """Starts and ends the engines of one kind. For any thread.

    Attributes:
        kind: What it starts.
        runtime: Version and providers of the runtime that it has; empty before `start`.
    """

    kind: EngineKind
    runtime: str

    def start(self) -> None:
        """Become ready, so that the first engine need not wait.

        Raises:
            EnginesDown: It cannot be started.
        """

    def fork(self, order: Order, descriptors: Sequence[int]) -> tuple[int, int]:
        """Start an engine with copies of the descriptors of model, region, bell in, bell out.

        Returns:
            Its process id, and a descriptor that is readable once it has ended: the caller's.

        Raises:
            EnginesDown: It cannot be started.
        """

    def kill(self, process: int) -> None:
        """End an engine at once, through the descriptor that `fork` returned."""

    def end_of(self, engine: int) -> int | None:
        """Return how an engine ended, if that is known yet: exit code, minus the signal, or `LOST`.

        Does not wait.
        """

    def close(self) -> None:
        """End every engine."""
