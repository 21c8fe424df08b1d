"""How long policy sets hold others up: `python -m tests.bench.policy_sets`.

For each of the forty sets of `tests.policies.forty_sets`: how long looking at it and parsing what
is accepted takes, and the longest time in which an event loop beside that could not turn. Then a
decision at fifty policies, remembered and not. On a busy machine the gaps are its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.artifacts.sandbox import run_sandboxed
from gateway.errors import SealgateError
from gateway.tenancy.policy_preparing import ConfinedPreparing
from policies.asking import ask
from policies.compiled import compile_set, join
from policies.errors import PolicyError
from tests.policies.forty_sets import FINE, REFUSED, STARTER, many
from tests.policies.test_forty_sets import STANDING
from tests.policies.world import APP, CONTEXT, ECG, NOW, engine_with

STEP_SECONDS = 0.001
FIFTY = STARTER + many(36, "context.solo")


def main() -> None:
    """Print the figures."""
    preparing = ConfinedPreparing(run_sandboxed, time.time)
    standing = replace(STANDING, now=int(time.time()))
    print(f"{'set':<44} {'looked at':>10} {'longest gap':>12}  outcome")
    for name, text in {**REFUSED, **FINE}.items():
        took, gap, outcome = asyncio.run(
            _beside(lambda text=text: _prepare(preparing, text, standing))  # type: ignore[misc]
        )
        print(f"{name:<44} {took * 1000:8.0f} ms {gap * 1000:9.1f} ms  {outcome}")
    _, idle, _ = asyncio.run(_beside(lambda: time.sleep(0.5) or ""))  # type: ignore[func-returns-value]
    print(f"{'nothing (the machine itself)':<44} {500:8.0f} ms {idle * 1000:9.1f} ms")
    handle = compile_set(FIFTY).handle
    fresh = _least(lambda: ask(handle, APP, "infer", ECG, CONTEXT, NOW), 200)
    engine = engine_with(acme=FIFTY)
    known = _least(lambda: [engine.decide(APP, "infer", ECG, CONTEXT) for _ in range(100)], 20)
    print(f"decision at fifty policies: {fresh * 1000:.3f} ms, remembered {known * 10_000:.2f} us")


def _prepare(preparing: ConfinedPreparing, text: str, standing: object) -> str:
    """Look at a set and parse it, as publishing does."""
    try:
        prepared = preparing.prepare("acme", text, standing, STARTER)  # type: ignore[arg-type]
    except (PolicyError, SealgateError) as refused:
        return refused.code
    join(text, prepared)
    return "accepted"


async def _beside(work: Callable[[], str]) -> tuple[float, float, str]:
    """Return how long work in a thread took, the longest gap of the loop, and what came of it."""
    begun = last = time.perf_counter()
    working, gap = asyncio.create_task(asyncio.to_thread(work)), 0.0
    while not working.done():
        await asyncio.sleep(STEP_SECONDS)
        now = time.perf_counter()
        gap, last = max(gap, now - last - STEP_SECONDS), now
    return time.perf_counter() - begun, gap, await working


def _least(work: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


if __name__ == "__main__":
    main()
