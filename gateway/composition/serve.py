"""One gateway process from its settings to its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress

import uvloop

from gateway.composition.environment import Environment
from gateway.composition.foundation import open_foundation
from gateway.composition.gateway import Gateway, compose
from gateway.log_sink import LogSink
from gateway.process.doors import serve_doors
from gateway.process.ending import end_within
from gateway.process.ownership import keep_memory_private, owned, take_descriptors
from gateway.settings import Settings


def serve(
    settings: Settings,
    environment: Environment,
    read: Callable[[], Settings] | None = None,
    sink: LogSink | None = None,
) -> None:
    """Own the data folder and serve until SIGTERM or SIGINT; once a process.

    Args:
        settings: What the operator set.
        environment: Time, randomness and patience.
        read: Reads the settings again at SIGHUP; by default they stay as they are.
        sink: Where the log goes; by default standard error.

    Raises:
        SealgateError: It does not start: the folder, a setting or an address cannot be had, or
            what an earlier process left cannot be settled.
    """
    _let_hang_ups_pass()
    keep_memory_private()
    os.umask(0o077)
    take_descriptors()
    with owned(settings.data_dir), open_foundation(settings, environment) as base:
        try:
            _run(compose(base, read, sink), settings, environment)
        finally:
            _let_hang_ups_pass()  # a loop that closes leaves what ends the process


def _run(gateway: Gateway, settings: Settings, environment: Environment) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        gateway.start()
        gc.collect()
        gc.freeze()  # what stands for good is not looked through again and again
        try:
            runner.run(_serve(gateway, settings, environment))
        finally:
            gateway.close()


def _let_hang_ups_pass() -> None:
    """Have SIGHUP end nothing while there is no loop that hears it.

    It is handled rather than ignored, as programs that are started would inherit the latter.
    """
    signal.signal(signal.SIGHUP, lambda *_: None)


async def _serve(gateway: Gateway, settings: Settings, environment: Environment) -> None:
    """Serve the doors, and run batch jobs beside them."""
    batches = asyncio.create_task(gateway.batch_runner.run())
    loop = asyncio.get_running_loop()

    def stopping(seconds: float) -> None:
        end_within(seconds + environment.grace.whole)
        # Callers are still answered, but nothing else is begun.
        loop.call_soon_threadsafe(gateway.batch_runner.stop)

    try:
        await serve_doors(
            gateway.doors,
            settings,
            environment.grace.requests,
            gateway.life,
            gateway.reload,
            stopping,
            gateway.certificates,
        )
    finally:
        gateway.batch_runner.stop()
        # A chunk that does not end in time is asked again by the next process.
        await asyncio.wait({batches}, timeout=environment.grace.batches)
        batches.cancel()
        with suppress(asyncio.CancelledError):
            await batches
