"""One gateway process from its settings to its end."""

from __future__ import annotations

import asyncio
import os

import uvloop

from gateway.composition.environment import Environment
from gateway.composition.foundation import open_foundation
from gateway.composition.gateway import compose
from gateway.process.doors import serve_doors
from gateway.process.ownership import keep_memory_private, owned
from gateway.settings import Settings


def serve(settings: Settings, environment: Environment) -> None:
    """Own the data folder and serve until SIGTERM or SIGINT; once a process.

    Raises:
        SealgateError: It does not start: the folder, a setting or an address cannot be had, or
            what an earlier process left cannot be settled.
    """
    keep_memory_private()
    os.umask(0o077)
    with (
        owned(settings.data_dir),
        open_foundation(settings, environment) as base,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        gateway = compose(base)
        gateway.start()
        try:
            runner.run(serve_doors(gateway.doors, settings, environment.grace.requests))
        finally:
            gateway.close()
