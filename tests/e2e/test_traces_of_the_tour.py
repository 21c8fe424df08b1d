"""What the kernel sees of `sealgate demo --once`, from its first call to its last."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

from tests.tracing import traced

pytest.importorskip("flwr")
pytestmark = [pytest.mark.federated, pytest.mark.screening, pytest.mark.soak]

# A semaphore by which joblib tries whether there are any; its name is gone at once.
SEMAPHORE = re.compile(r"/dev/shm/sem\.\w")


def test_the_tour_looks_up_no_name_and_writes_to_its_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    tour = [sys.executable, "-P", "-m", "gateway", "demo", "--once", "--dir", str(place)]
    trace = traced(tour, tmp_path / "trace")
    assert trace.started("federated.site.supernode"), "its sites were traced"
    assert trace.started("gateway.demo.attack"), "and its attacker"
    assert trace.looked_up() == []
    own = (place, Path(tempfile.gettempdir()))
    assert trace.outside(*own) == []
    assert [call for call in trace.written(*own) if not SEMAPHORE.search(call)] == []
    assert list(home.iterdir()) == []
