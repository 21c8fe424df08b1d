"""The client alone: what a process has got that imports nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SAY = "import json, sys; import gateway.client; print(json.dumps(sorted(sys.modules)))"
SERVERS = frozenset(
    {
        "alembic",
        "audit",
        "authlib",
        "cedarpy",
        "fastapi",
        "msgspec",
        "numpy",
        "onnx",
        "onnxruntime",
        "orjson",
        "policies",
        "pydantic",
        "sqlalchemy",
        "starlette",
        "structlog",
        "tritonclient",
        "typer",
        "uvicorn",
    }
)


@pytest.mark.e2e
def test_a_process_that_imports_the_client_has_nothing_of_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SAY], capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    assert not SERVERS & {name.partition(".")[0] for name in found}
    ours = {name for name in found if name.startswith("gateway.")}
    assert all(name.startswith("gateway.client") for name in ours), ours
