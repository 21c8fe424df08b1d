from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.gateway.people.browser import Browser
from tests.gateway.people.persons import Ada
from tests.gateway.place import Place, served_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(tmp_path_factory.mktemp("people")) as made:
        made.tenant("acme")
        made.tenant("rival")
        yield made


@pytest.fixture
def browsers(place: Place) -> Iterator[Callable[[], Browser]]:
    """Makes browsers, each with cookies of its own."""
    with ExitStack() as opened:

        def make() -> Browser:
            made = Browser(place.url)
            opened.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="module")
def ada(place: Place) -> Ada:
    """A person of `acme` who has accepted the invitation."""
    return Ada.accepted(place, "ada@acme.example")
