from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .works import Works, works


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Works]:
    """A released, screened version 1 of `m`, and a second tenant."""
    with works("rival") as made:
        made.publish()
        yield made
