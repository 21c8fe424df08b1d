"""One engine with its run, what is told of the run, and what is told of the engine's end."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import structlog
from numpy.typing import NDArray

from gateway.engine.batching import share_out
from gateway.engine.errors import EngineError, RunFailed
from gateway.engine.orders import LOST
from gateway.engine.process import EngineProcess
from gateway.engine.starting import Recipe
from gateway.engine.wire import Placed

Array: TypeAlias = NDArray[Any]

# How an engine ended is known when its parent has told: looked for so often, so many seconds apart.
_LOOKS: Final = 20
_LOOK_SECONDS: Final = 0.01
TIME: Final = "time"
ABANDONED: Final = "abandoned"
NONSENSE: Final = "nonsense"
BURNING: Final = "idle"

# Requests that wait for one version; their bodies are bounded by bytes besides.
MAX_WAITING: Final = 2048
# Of one version: a run keeps one processor busy.
MAX_ENGINES: Final = os.cpu_count() or 1
# Nobody waits for the answer: short runs come to their end, longer ones are ended.
ABANDONED_SECONDS: Final = 1.0
# While a request has waited this long another engine helps, if the machine has a processor more.
HELP_SECONDS: Final = 0.02


@dataclass(slots=True, eq=False)
class Asked:
    """One request that waits or runs.

    Attributes:
        inputs, rows: What it brings.
        answer: Told the outputs, or what went wrong.
        since: When it came, by the loop's clock.
        alone: It shares no run.
    """

    inputs: Mapping[str, Array]
    rows: int
    answer: asyncio.Future[list[Array]]
    since: float
    alone: bool


@dataclass(slots=True, eq=False)
class Place:
    """One engine and its run.

    Attributes:
        process: The engine.
        flight: The requests of the run.
        running: The engine was told to run and has not rung since.
        begun, deadline: Of the run, by the loop's clock.
        looked: When `timer` looks at the deadline.
        doom: Why it is being ended; empty while it is not.
        ran: Seconds that its runs took.
        code: How it ended, once that is known.
    """

    process: EngineProcess
    flight: list[Asked] = field(default_factory=list)
    running: bool = False
    begun: float = 0.0
    deadline: float = 0.0
    looked: float = 0.0
    doom: str = ""
    code: int | None = None
    timer: asyncio.TimerHandle | None = None
    ran: float = 0.0


def weight(batch: Sequence[Asked]) -> int:
    """Return the bytes of the inputs of a run."""
    return sum(array.nbytes for asked in batch for array in asked.inputs.values())


def look_at_deadline(
    place: Place, loop: asyncio.AbstractEventLoop, look: Callable[[Place], None]
) -> None:
    """Look at a place when its run has to be over, and not before."""
    if place.timer is not None:
        place.timer.cancel()
    place.looked = place.deadline
    place.timer = loop.call_at(place.deadline, look, place)


def put(place: Place, batch: Sequence[Asked]) -> EngineError | None:
    """Lay the inputs of a run into the engine's region; returns what was wrong with them."""
    try:
        place.process.put([asked.inputs for asked in batch])
    except EngineError as fault:
        return fault
    except Exception:  # whatever NumPy says of arrays that it cannot lay out
        return RunFailed()
    return None


def copies(place: Place, placed: tuple[Placed, ...]) -> list[Array] | EngineError:
    """Return the outputs of a run, or what is wrong with them."""
    try:
        return place.process.copies(placed)
    except EngineError as fault:
        return fault


def answer(asked: Asked, outputs: list[Array]) -> None:
    """Answer a request, if it still waits."""
    if not asked.answer.done():
        asked.answer.set_result(outputs)


def shared(batch: Sequence[Asked], outputs: list[Array], fault: EngineError | None) -> bool:
    """Answer each request of a run that ended; False where each must be run alone.

    Args:
        batch: The requests of the run.
        outputs: Of all their rows.
        fault: What went wrong instead; it is told only to a request that ran alone.
    """
    if len(batch) == 1:
        tell(batch, fault) if fault else answer(batch[0], outputs)
        return True
    shares = None if fault else share_out(outputs, [asked.rows for asked in batch])
    for asked, share in zip(batch, shares or (), strict=shares is not None):
        answer(asked, share)
    return shares is not None


def tell(batch: Sequence[Asked], fault: Exception) -> None:
    """Tell requests that still wait what went wrong."""
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(fault)


def tell_all(waiting: deque[Asked], fault: Exception) -> None:
    """Tell all requests that wait what went wrong; none waits any more."""
    tell(list(waiting), fault)
    waiting.clear()


def burning(places: Sequence[Place], burns: Callable[[EngineProcess, float], bool]) -> list[Place]:
    """Return the engines that compute although nothing runs; for any thread.

    Args:
        places: Of one version.
        burns: Looks at an engine, and the seconds that its runs took until now.
    """
    now = time.monotonic()
    return [
        place
        for place in list(places)
        if burns(place.process, place.ran + (now - place.begun if place.running else 0.0))
    ]


def held_against_model(place: Place) -> bool:
    """Note how an engine ended; its callers' choice or its fork server's end is not its model's."""
    place.code = place.process.end()
    return place.doom != ABANDONED and place.code != LOST


def report_end(
    loop: asyncio.AbstractEventLoop,
    recipe: Recipe,
    place: Place,
    set_aside: Callable[[Recipe, str], None] | None,
    looks: int = _LOOKS,
) -> None:
    """Say how an engine ended, once that is known: its parent may be slow, or be stopped.

    Args:
        loop: Where it is looked for again; nothing waits.
        recipe: What the engine was made from.
        place: Its place.
        set_aside: Told as well where the model rests from now on.
        looks: How often it is looked for yet.
    """
    reason = place.doom
    if reason not in {TIME, ABANDONED, NONSENSE, BURNING}:
        code = place.process.end() if place.code is None else place.code
        if code is None and looks:
            loop.call_later(_LOOK_SECONDS, report_end, loop, recipe, place, set_aside, looks - 1)
            return
        reason = _reason(code)
    structlog.get_logger().warning(
        "engine_ended",
        tenant=recipe.tenant,
        model=recipe.model,
        version=recipe.version,
        reason=reason,
    )
    if set_aside is not None:
        set_aside(recipe, reason)


def _reason(code: int | None) -> str:
    if code == LOST:
        return "server_lost"
    return f"signal_{-code}" if code and code < 0 else "ended"
