"""Runs schemathesis, as the program that it is, against a house."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.house import REPOSITORY, House

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "ignored_auth",
)
NEVER_ENDS: Final = "follow_events"
"""Goes on for as long as the caller's token lives; `test_described_api` asks it by itself."""
LONGEST_S: Final = 1800
"""Ends a hung run."""
OURS: Final = {
    "model": "digits",
    "version": "1.0",
    "number": "1.0",
    "tenant": "clinic",
    "index": "3",
}
"""Names in paths of what every house has."""


@dataclass(frozen=True)
class Caller:
    """Who asks: a client and the file with its secret; nobody, where the name is empty."""

    client: str
    secret: Path = Path(os.devnull)


def register(house: House, name: str, **record: Any) -> Caller:
    """Register a client with a secret and without a binding: schemathesis proves no keys."""
    body = {"auth_method": "client_secret_basic", "token_binding": "none", "name": name, **record}
    with house.admin() as admin:
        made = admin.post("/v1/clients", {"id": name, **body})
    path = house.place.folder / f"{name}.secret"
    path.touch(mode=0o600)
    path.write_text(made["client_secret"])
    return Caller(name, path)


def hold(
    house: House, caller: Caller, folder: Path, *arguments: str, there: dict[str, str] = OURS
) -> str:
    """Hold a house to its document; returns what schemathesis found, empty where all is well.

    Args:
        house: It runs.
        caller: Who asks.
        folder: Where the program may write.
        *arguments: Phases, number of examples, seed.
        there: Name of a path parameter → what exists.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{house.url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--generation-database", "none"),
            *("--no-color", "--continue-on-failure", "--warnings", "off"),
            *("--exclude-operation-id", NEVER_ENDS, *arguments),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "SCHEMATHESIS_HOOKS": "tests.e2e.described.hooks",
            "DESCRIBED_TOKEN_URL": f"{house.url}/oauth/token",
            "DESCRIBED_CLIENT": caller.client,
            "DESCRIBED_SECRET": str(caller.secret),
            "DESCRIBED_THERE": json.dumps(there),
        },
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
