from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import House, found_house, moved, told
from tests.e2e.models import train
from tests.e2e.refusals import MARKER

MakeHouse = Callable[..., House]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The house that all others are copies of. Nobody starts it."""
    return found_house(tmp_path_factory.mktemp("founded") / "place", train())


@pytest.fixture(scope="session")
def house(founded: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The gateway that all tests share which leave it as it was."""
    folder = tmp_path_factory.mktemp("shared") / "place"
    with moved(founded, folder, body_timeout_seconds=2.0, max_body_bytes=1 << 20) as shared:
        yield shared


@pytest.fixture
def fresh(founded: House, tmp_path: Path) -> Iterator[MakeHouse]:
    """Makes gateways that a test may kill, corrupt or fill; they are ended after it."""
    with ExitStack() as ending:

        def make(name: str = "place", *, started: bool = True, **settings: Any) -> House:
            made = moved(founded, tmp_path / name, **settings)
            ending.push(made.__exit__)
            if started:
                made.start()
            return made

        yield make


@pytest.fixture
def still_well(house: House) -> Iterator[None]:
    """After the test the service answers; its log has no fault and nothing that was sent."""
    before = house.log_path.stat().st_size
    yield
    assert house.infer().status_code == 200
    lines = told(house, before)
    assert [line for line in lines if line["level"] == "error"] == []
    assert MARKER not in str(lines)
    assert MARKER not in house.cast.http.get(f"{house.place.operations_url}/metrics").text
