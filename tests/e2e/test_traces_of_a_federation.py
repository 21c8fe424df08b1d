"""What the kernel sees of a site and of the convenor's gateway, from their start to their end.

One site is traced by itself, and the gateway with its coordinator and the processes of Flower.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.composition.federation import SOCKET
from gateway.demo.datasets import hospitals
from tests.e2e.federation_place import Partners, house_of_convenor
from tests.e2e.house import until
from tests.tracing import Trace, attached

pytest.importorskip("flwr")
pytestmark = [pytest.mark.e2e, pytest.mark.federated]


@dataclass(frozen=True)
class Seen:
    """Traces of a run, and the folders that the traced processes may write to.

    Attributes:
        scratch: For temporary files, of all of them.
    """

    gateway: Trace
    data: Path
    site: Trace
    folder: Path
    scratch: Path


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    traces = tmp_path_factory.mktemp("traces")
    house = house_of_convenor(tmp_path_factory.mktemp("convenor") / "place")
    # Sockets are made below it, so its path must be short.
    with tempfile.TemporaryDirectory(prefix="sgt-") as scratch, pytest.MonkeyPatch.context() as env:
        env.setenv("TMPDIR", scratch)
        house.launch()
        try:
            with attached([house.pid], traces / "gateway") as of_gateway:
                house.await_ready()
                until((house.place.data / SOCKET).exists)
                house.cast.assemble()
                partners = Partners(house, hospitals())
                partners.convene()
                of_site = train(partners, traces / "site")
                house.stop()
        finally:
            house.__exit__()
        data, folder = house.place.data, partners.folder(partners.names[0])
        yield Seen(of_gateway, data, of_site, folder, Path(scratch))


def train(partners: Partners, log: Path) -> Trace:
    """Let the sites join and train, and end; traces the first of them."""
    first, *others = partners.names
    try:
        partners.start_site(first)
        with attached([partners.sites[first].pid], log) as trace:
            for name in others:
                partners.start_site(name)
            partners.await_joined(partners.names)
            run = partners.start("valleys", "1", rounds=2)
            assert partners.ended("valleys", run)["state"] == "finished"
            partners.stop_site(first)
        return trace
    finally:
        partners.stop_sites()


def test_a_site_looks_up_no_name_and_reaches_its_gateway_only(seen: Seen) -> None:
    assert seen.site.started("federated.site.supernode")
    assert seen.site.started("federated.superexec")
    assert seen.site.looked_up() == []
    assert seen.site.outside(seen.folder, seen.scratch) == []


def test_a_site_writes_to_its_own_folder_only(seen: Seen) -> None:
    assert seen.site.written(seen.folder, seen.scratch) == []
    assert [call for call in seen.site.calls if str(seen.data) in call] == []


def test_the_coordinator_looks_up_no_name_and_reaches_nobody(seen: Seen) -> None:
    assert seen.gateway.started("federated.coordinator")
    assert seen.gateway.started("federated.launcher")
    assert seen.gateway.looked_up() == []
    assert seen.gateway.outside(seen.data, seen.scratch) == []


def test_the_coordinator_writes_to_the_gateways_folder_only(seen: Seen) -> None:
    assert seen.gateway.written(seen.data, seen.scratch) == []


@pytest.mark.parametrize("whose", ["site", "gateway"])
def test_no_telemetry_is_made(seen: Seen, whose: str) -> None:
    """Flower kept an identifier, and ran programs to describe the machine, and sent nothing."""
    trace: Trace = getattr(seen, whose)
    assert trace.programs() == {Path(sys.executable).name}
    assert [call for call in trace.calls if "/flwr/source" in call] == []
