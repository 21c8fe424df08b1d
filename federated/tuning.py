"""Flower's fixed waits, shortened, and its telemetry, left out: in memory; no file is changed.

With `FLWR_TELEMETRY_ENABLED=0` Flower sends no event, but makes each one all the same: it keeps an
identifier of the installation in a file, and starts `uname` and `file` to describe the machine, in
every task of every round.

| where | stock | here |
|---|---|---|
| `superlink.grid.http_grid.pull_objects` | 1 s after an object that is not there yet | 50 ms |
| `supernode.start_client_internal.pull_objects` | the same | 50 ms |
| `supernode.runtime.run_clientapp.pull_and_inflate_object_from_tree` | the same | 50 ms |
| `supernode.start_client_internal` while a ClientApp works | looks every 0.5 s | 50 ms |
| `superlink.grid.http_grid.send_and_receive` | looks every 3 s | not used: `mailbox` |
| `supernode.start_client_internal` after an empty pull | 3 s | kept; `longpoll` avoids it |

The names are checked: a Flower without them fails at the start, not in the middle of a run.
"""

from __future__ import annotations

import functools
import importlib
import time
from types import ModuleType, SimpleNamespace
from typing import Any

BACKOFF_S = 0.05
"""First wait for an object that is on its way; Flower doubles it up to its own cap."""


def quiet() -> None:
    """Let Flower's log say warnings and errors only, without colours, and make no telemetry."""
    logger = importlib.import_module("flwr.supercore.logger")
    logger.update_console_handler(level="WARNING", timestamps=False, colored=False)
    replace(importlib.import_module("flwr.supercore.telemetry"), "create_event", _no_event)


def _no_event(*_: object) -> str:
    return "disabled"  # what Flower answers where nothing is sent


def tune_server_task() -> None:
    """Shorten the waits of a ServerApp's process."""
    _shorten("flwr.superlink.grid.http_grid", "pull_objects")


def tune_client_task() -> None:
    """Shorten the waits of a ClientApp's process."""
    _shorten("flwr.supernode.runtime.run_clientapp", "pull_and_inflate_object_from_tree")


def tune_supernode() -> None:
    """Shorten the waits of a SuperNode's process."""
    module = _shorten("flwr.supernode.start_client_internal", "pull_objects")

    def sleep(seconds: float) -> None:
        # The wait for a ClientApp is half a second; the one after an empty pull is three.
        time.sleep(min(seconds, BACKOFF_S) if seconds < 1 else seconds)

    replace(module, "time", SimpleNamespace(sleep=sleep, time=time.time, monotonic=time.monotonic))


def replace(module: ModuleType, name: str, value: Any) -> None:
    """Put `value` in the place of a name that `module` must already have.

    Raises:
        AttributeError: It does not have it: this is not the Flower that we know.
    """
    getattr(module, name)
    setattr(module, name, value)


def _shorten(path: str, name: str) -> ModuleType:
    module = importlib.import_module(path)
    stock = getattr(module, name)
    replace(module, name, functools.partial(stock, initial_backoff=BACKOFF_S))
    return module
