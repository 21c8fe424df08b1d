"""Programs from the system that a test needs: absent is a skip with a reason, in CI a failure."""

from __future__ import annotations

import os
import shutil

import pytest


def require_tool(name: str) -> str:
    """Return the path of an installed program, or skip the test (in CI: fail it)."""
    path = shutil.which(name)
    if path is None:
        reason = f"`{name}` is not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}: .ci/run should have installed it")
        pytest.skip(reason)
    return path
