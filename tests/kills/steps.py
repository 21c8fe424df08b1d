"""The steps of a change: the durable writes of a process, counted while the change is made."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

When = Literal["before", "after"]
T = TypeVar("T")


@dataclass(frozen=True)
class Kill:
    """The process is killed right before or right after a write (the first one is 0)."""

    step: int
    when: When


@dataclass(frozen=True)
class Fault:
    """A write fails, having done nothing or all of it; with `lasting`, so do all that follow."""

    step: int
    when: When
    lasting: bool


class Steps:
    """Counts writes between `begin` and `end`, and lets happen what is planned for one of them."""

    def __init__(self, plan: Kill | Fault | None = None) -> None:
        self.labels: list[str] = []
        self.plan = plan
        self._counting = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        self._counting = True

    def end(self) -> None:
        """Count no more; whatever failed works again."""
        self._counting = False

    def write(self, label: str, act: Callable[[], T], fault: Callable[[], Exception]) -> T:
        """Make one write, which is a step if the change is under way."""
        step = self.before(label, fault)
        made = act()
        self.after(step, fault)
        return made

    def before(self, label: str, fault: Callable[[], Exception]) -> int:
        """Begin a write; returns its number, negative when writes are not counted."""
        if not self._counting:
            return -1
        with self._lock:
            step = len(self.labels)
            self.labels.append(label)
        self._happen(step, "before", fault)
        return step

    def after(self, step: int, fault: Callable[[], Exception]) -> None:
        """End a write that was made."""
        if step >= 0:
            self._happen(step, "after", fault)

    def _happen(self, step: int, when: When, fault: Callable[[], Exception]) -> None:
        plan = self.plan
        if isinstance(plan, Kill) and (plan.step, plan.when) == (step, when):
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(plan, Fault):
            over = plan.lasting and step > plan.step and when == "before"
            if over or (plan.step, plan.when) == (step, when):
                raise fault()


READS = (
    *("get", "list", "current", "releases", "expired_", "site_by_", "unfinished_", "latest"),
    *("tenants", "epoch", "revoked", "tree", "tile", "place", "entries", "search", "sealed"),
    *("generation", "by_", "older", "read", "stream", "length", "exists", "wrap", "unwrap"),
    *(
        "tenant_key",
        "due",
        "mac_key",
        "release_key",
        "convenor_seed",
        "close",
        "usage",
        "next_",
        "progress",
        "parts_about",
    ),
)
"""How the names of methods begin that write nothing. Every other method is a step."""


class Watched:
    """A store whose writes are steps.

    Args:
        store: The real one.
        name: What its steps are called.
        steps: Counts them.
        fault: What it raises when it cannot write.
    """

    def __init__(self, store: Any, name: str, steps: Steps, fault: Callable[[], Exception]) -> None:
        self._store, self._name, self._steps, self._fault = store, name, steps, fault

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._store, method)
        if method.startswith("_") or not callable(found) or self._reads(method):
            return found

        def write(*given: Any, **named: Any) -> Any:
            label = f"{self._name}.{method}"
            return self._steps.write(label, lambda: found(*given, **named), self._fault)

        return write

    def _reads(self, method: str) -> bool:
        # `release` moves a pointer and `releases` reads; `release_key` reads.
        return method.startswith(READS)
