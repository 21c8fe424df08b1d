"""`sealgate serve`: run the gateway of a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[
    Path, typer.Option("--data", help="The data folder that `sealgate init` made.")
]


def serve(
    data: DataFolder = Path("sealgate-data"),
    host: Annotated[str | None, typer.Option(help="Address of the public door.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the public door.")] = None,
) -> None:
    """Run the gateway until it is stopped.

    The public door speaks OAuth, /v1 and /v2; metrics and health are on the operations port; sites
    of a federation have a port of their own. Settings: `sealgate.toml` in the data folder, or
    `SEALGATE_…` in the environment.

    Example: sealgate serve --data ./sealgate-data

    Next: sealgate whoami --profile ./sealgate-data/admin.json
    """
    import asyncio
    import os
    import secrets
    import time

    import uvloop

    from gateway.composition.environment import Environment
    from gateway.composition.foundation import open_foundation
    from gateway.composition.gateway import create_app
    from gateway.inference.sessions import bound_run_memory
    from gateway.process.doors import serve_doors
    from gateway.process.ownership import keep_memory_private, owned
    from gateway.settings import load_settings
    from gateway.telemetry import configure_logs

    settings = load_settings(data, host=host, port=port)
    configure_logs(settings.log_level)
    keep_memory_private()
    bound_run_memory(settings.run_memory_bytes)
    os.umask(0o077)
    environment = Environment(time.time, time.monotonic, secrets.token_bytes)
    with (
        owned(settings.data_dir),
        open_foundation(settings, environment) as base,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        gateway = create_app(base)
        gateway.start()
        try:
            runner.run(serve_doors(gateway.doors, settings))
        finally:
            gateway.close()
