"""What a process is given by the world around it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.artifacts.sandbox import run_sandboxed
from gateway.engine.forking import ForkServer
from gateway.engine.ports import EngineKind, Server
from gateway.identity.passwords import RECOMMENDED, Cost
from gateway.tenancy.policy_preparing import ConfinedPreparing
from policies.ports import Preparing


@dataclass(frozen=True, slots=True)
class Grace:
    """How long what is under way may take to end when the process is asked to stop.

    With what follows, the process usually ends within 10 s.

    Attributes:
        requests: Whole seconds for requests.
        jobs: Seconds for jobs; one that did not end is settled at the next start.
        batches: Seconds for chunks of batch jobs; the next start goes on with one that did not end.
        whole: Seconds after which the process is ended whatever it waits for.
    """

    requests: int = 6
    jobs: float = 3.0
    batches: float = 0.5
    whole: float = 15.0


def in_processes(clock: Callable[[], float]) -> Preparing:
    """Return what looks at policy sets in processes of their own."""
    return ConfinedPreparing(run_sandboxed, clock)


@dataclass(frozen=True, slots=True)
class Environment:
    """Time, randomness, and the patience of whoever stops the process.

    Attributes:
        clock: Unix seconds.
        monotonic: Seconds of a clock that is never set back.
        random_bytes: A cryptographic source.
        grace: Given to what is under way at the end.
        engines: Returns what starts the engines of a kind.
        preparing: Returns where policy sets are looked at, given the clock.
        passwords: What it costs to hash one.
    """

    clock: Callable[[], float]
    monotonic: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    grace: Grace = Grace()
    engines: Callable[[EngineKind], Server] = ForkServer
    preparing: Callable[[Callable[[], float]], Preparing] = in_processes
    passwords: Cost = RECOMMENDED


def system_environment() -> Environment:
    """Return the machine's own clocks and randomness."""
    return Environment(time.time, time.monotonic, secrets.token_bytes)
