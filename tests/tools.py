"""What tests need of the system: absent is a skip with a reason, in CI a failure."""

from __future__ import annotations

import os
import shutil
from typing import Final, NoReturn

import pytest

NOT_ALLOWED: Final = "not allowed here: "
"""Begins the reasons that are right in CI, too: no installation would help."""


def require_tool(name: str) -> str:
    """Return the path of an installed program, or skip the test (in CI: fail it)."""
    path = shutil.which(name)
    if path is None:
        lacking(f"`{name}`")
    return path


def lacking(what: str) -> NoReturn:
    """Skip the test (in CI: fail it), because something is not installed."""
    reason = f"{what} is not installed"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}: .ci/run should have installed it")
    pytest.skip(reason)
