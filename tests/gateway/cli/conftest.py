from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import structlog

# typer 0.20, which the federated extra pins, imports names that click 8.5 deprecates.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import typer.main  # noqa: F401


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands are run here, in this very process: some of them say where logs go."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
