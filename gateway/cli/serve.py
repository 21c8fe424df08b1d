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
    `SEALGATE_…` in the environment. SIGHUP reads certificates, trusted issuers, limits of engines
    and settings of the log again; SIGTERM makes it unready, and it ends when what is under way has
    ended, or was given its time.

    Example: sealgate serve --data ./sealgate-data

    Next: sealgate whoami --profile ./sealgate-data/admin.json
    """
    from gateway.composition.environment import system_environment
    from gateway.composition.serve import serve as serve_until_stopped
    from gateway.log_sink import LogSink
    from gateway.settings import Settings, load_settings
    from gateway.telemetry import configure_logs

    def read() -> Settings:
        return load_settings(data, host=host, port=port)

    settings = read()
    sink = LogSink(settings.log_file)
    configure_logs(settings.log_level, sink)
    try:
        serve_until_stopped(settings, system_environment(), read, sink)
    finally:
        sink.finish()
