"""Whether a gateway can do its work now: each thing that it stands on is looked at, and named.

1. What is looked at may hang: it is looked at in a thread of its own, and not again while that goes
   on. Who asks hears within `LOOK_SECONDS`.
2. However often it is asked, it looks once in `KEPT_SECONDS` at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gateway.process.aside import Aside

LOOK_SECONDS: Final = 2.0
"""Shorter than what probes give an answer."""
KEPT_SECONDS: Final = 1.0


class Readiness:
    """Looks at what a process stands on. Used on one event loop.

    Args:
        looks: By name, what raises when the thing is not well.
        look_seconds: How long one may take.
    """

    def __init__(
        self, looks: Mapping[str, Callable[[], object]], look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._looks = {name: Aside(look, f"look-{name}") for name, look in looks.items()}
        self._seconds = look_seconds
        self._looking: asyncio.Task[list[str]] | None = None
        self._known: list[str] = []
        self._until = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked at, in order."""
        return tuple(self._looks)

    async def failing(self) -> list[str]:
        """Return the names of what is not well, in order."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            return self._known
        if self._looking is None:
            self._looking = loop.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> list[str]:
        if not self._looks:
            return []
        looks = {name: look.begun() for name, look in self._looks.items()}
        done, _ = await asyncio.wait(looks.values(), timeout=self._seconds)
        well = {name for name, look in looks.items() if look in done and not look.exception()}
        self._known = [name for name in self._looks if name not in well]
        self._until = asyncio.get_running_loop().time() + KEPT_SECONDS
        self._looking = None
        return self._known
