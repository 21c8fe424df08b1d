"""Policy sets are looked at in processes that can be ended, and hold nobody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.artifacts.errors import SandboxFailed
from gateway.artifacts.sandbox import Limits, SandboxResult, run_sandboxed
from gateway.errors import LimitReached
from gateway.tenancy.policy_preparing import (
    LIMITS,
    MOST_PRESENT,
    STORED_AT_ONCE,
    ConfinedPreparing,
)
from policies.compiled import Prepared
from policies.errors import PolicySetInvalid
from policies.examination import work
from tests.policies.forty_sets import FINE, HUGE, SLOW, STARTER, chain, many, permit

HEAVY = STARTER + many(40, " || ".join(["principal.tenant.suspended"] * 50))


def confined(limits: Limits = LIMITS) -> ConfinedPreparing:
    return ConfinedPreparing(run_sandboxed, lambda: 1_700_000_000.0, limits)


class Waiting:
    """Jobs that end when they are told to, then as the real one."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.running = self.most = 0

    def __call__(
        self,
        module: str,
        inputs: Mapping[str, bytes | bytearray | memoryview],
        args: Mapping[str, Any],
        *,
        limits: Limits,
    ) -> SandboxResult:
        del module, args, limits
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        self.go.wait(60)
        with self.lock:
            self.running -= 1
        return SandboxResult({}, {"reports": work(bytes(inputs["order"]))}, True, True)


@pytest.mark.parametrize(
    "text",
    [
        SLOW["a chain of 250 names after has"],
        SLOW["alternatives in every policy"],
        HUGE["records within records"],
        HEAVY,
        FINE["a comment of 200 KiB"],
    ],
    ids=["chain", "alternatives", "records", "heavy", "comment"],
)
@pytest.mark.e2e
def test_others_go_on_while_a_set_is_looked_at(text: str) -> None:
    async def turns_meanwhile() -> int:
        looking = asyncio.create_task(asyncio.to_thread(_outcome, confined(), text))
        turns = 0
        while not looking.done():
            await asyncio.sleep(0.002)
            turns += 1
        return turns

    assert asyncio.run(turns_meanwhile()) > 10


def _outcome(preparing: ConfinedPreparing, text: str) -> bool:
    try:
        preparing.prepare("acme", text)
    except PolicySetInvalid:
        return False
    return True


@pytest.mark.e2e
def test_what_takes_too_long_is_ended_and_refused() -> None:
    short = Limits(memory_bytes=1 << 30, cpu_seconds=60, wall_seconds=0.05, output_bytes=1 << 20)
    with pytest.raises(PolicySetInvalid) as refused:
        confined(short).prepare("acme", HEAVY)
    assert "publish fewer and smaller policies" in refused.value.problems[0].reason


@pytest.mark.e2e
def test_what_wants_too_much_memory_is_ended_and_refused() -> None:
    small = Limits(memory_bytes=24 << 20, cpu_seconds=60, wall_seconds=60.0, output_bytes=1 << 20)
    with pytest.raises(PolicySetInvalid):
        confined(small).prepare("acme", HEAVY)


def test_a_tenant_that_publishes_without_end_keeps_no_other_from_it() -> None:
    waiting = Waiting()
    preparing = ConfinedPreparing(waiting, lambda: 0.0)
    mine = threading.Thread(target=_outcome, args=(preparing, permit("true")))
    other = threading.Thread(target=preparing.prepare, args=("other", permit("true")))
    mine.start()
    assert waiting.begun.acquire(timeout=60)
    with preparing.turns.present("acme"), pytest.raises(LimitReached) as refused:
        preparing.prepare("acme", permit("true"))
    assert refused.value.retry_after
    other.start()
    assert waiting.begun.acquire(timeout=60), "another tenant begins at once"
    waiting.go.set()
    mine.join(60)
    other.join(60)
    assert waiting.most == 2


def test_only_so_many_wait_at_all() -> None:
    waiting = Waiting()
    preparing = ConfinedPreparing(waiting, lambda: 0.0)
    with ExitStack() as stack:
        stack.callback(waiting.go.set)
        for number in range(MOST_PRESENT):
            stack.enter_context(preparing.turns.present(f"t{number}"))
        with pytest.raises(LimitReached):
            preparing.prepare("one-more", permit("true"))


@pytest.mark.e2e
def test_stored_sets_are_looked_at_together_and_a_bad_one_costs_no_other() -> None:
    texts = [STARTER, permit(chain(250)), STARTER + many(150, chain(16)), "permit ("]
    found = confined().stored(texts)
    assert [isinstance(one, Prepared) for one in found] == [True, False, True, False]


def test_a_stored_set_that_ends_the_process_is_found_among_the_others() -> None:
    class Fragile:
        runs = 0

        def __call__(
            self,
            module: str,
            inputs: Mapping[str, bytes | bytearray | memoryview],
            args: Mapping[str, Any],
            *,
            limits: Limits,
        ) -> SandboxResult:
            del module, args, limits
            self.runs += 1
            order = bytes(inputs["order"])
            if b"deadly" in order:
                raise SandboxFailed("crashed")
            return SandboxResult({}, {"reports": work(order)}, True, True)

    fragile = Fragile()
    texts = [permit("true", f"a{number}") for number in range(STORED_AT_ONCE)]
    texts[5] = permit("true", "deadly")
    found = ConfinedPreparing(fragile, lambda: 0.0).stored(texts)
    assert [number for number, one in enumerate(found) if not isinstance(one, Prepared)] == [5]
    assert fragile.runs == STORED_AT_ONCE + 1
