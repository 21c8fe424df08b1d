"""What schemathesis loads into its own process: a caller's token, and names of things that exist.

The environment says who asks (`DESCRIBED_…`); a secret is in a file. Of the paths that are made up
every other one names what is there, so that requests get past "there is nothing here".
"""

from __future__ import annotations

import json
import os
import time
import zlib
from pathlib import Path
from typing import Any, Final

import httpx
import schemathesis

TOKEN_URL: Final = os.environ["DESCRIBED_TOKEN_URL"]
CLIENT: Final = os.environ.get("DESCRIBED_CLIENT", "")
SECRET: Final = Path(os.environ.get("DESCRIBED_SECRET", "/dev/null"))
THERE: Final[dict[str, str]] = json.loads(os.environ.get("DESCRIBED_THERE", "{}"))
RENEW_S: Final = 120
"""Seconds: well below a token's life."""


class Tokens:
    """Fetches a token and keeps it for a while."""

    def __init__(self) -> None:
        self._token, self._until = "", 0.0

    def get(self, case: Any, context: Any) -> str:
        if CLIENT and time.monotonic() > self._until:
            answer = httpx.post(
                TOKEN_URL,
                data={"grant_type": "client_credentials"},
                auth=(CLIENT, SECRET.read_text()),
            )
            self._token = answer.raise_for_status().json()["access_token"]
            self._until = time.monotonic() + RENEW_S
        return self._token

    def set(self, case: Any, data: str, context: Any) -> None:
        if data and not case.path.startswith("/oauth/"):
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


schemathesis.auth(refresh_interval=None)(Tokens)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """Name what is there in every other path."""
    if not path_parameters or zlib.crc32(repr(path_parameters).encode()) % 2:
        return path_parameters
    return {name: THERE.get(name, value) for name, value in path_parameters.items()}
