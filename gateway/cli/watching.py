"""Following long work until it ends."""

from __future__ import annotations

import json
from typing import Any

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed
from gateway.cli.output import progress


def wait_for(connection: Connection, job: dict[str, Any], what: str, *, quiet: bool) -> None:
    """Show how a job goes on, and return when it is done.

    Raises:
        CommandFailed: The job failed.
    """
    path = f"/v1/jobs/{job['id']}/events"
    with (
        progress(what, quiet=quiet) as advance,
        connection.stream("GET", path, timeout=None) as answer,
    ):
        for line in answer.iter_lines():
            if line.startswith("data: "):
                job = json.loads(line.removeprefix("data: "))
                advance(job["done"], job["total"], job["stage"])
    if job["state"] == "done":
        return
    error = job["error"] or {"code": "unknown", "detail": "the job did not end", "reason": ""}
    reason = f" ({error['reason']})" if error["reason"] else ""
    raise CommandFailed(
        f"{error['detail']}{reason}",
        advice=error.get("next") or "",
        problem={"title": error["code"], **error},
    )
