from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from gateway.demo.cast import Cast
from gateway.demo.datasets import hospitals
from gateway.demo.federation_chapter import MODEL as TUMOUR
from gateway.demo.federation_chapter import VERSION as TUMOUR_VERSION
from gateway.demo.models import breast_cancer_model
from gateway.demo.narrator import Narrator
from gateway.demo.place import Place, prepare
from gateway.demo.serving_chapter import ServingChapter, request
from gateway.demo.tour import describe, write_contract
from tests.e2e.house import at_free_ports, started
from tests.ports import free_port

DEMO_FOLDER = ".sealgate-demo"


@dataclass(frozen=True)
class Demo:
    """What `make demo` leaves behind: a running gateway, and files for those who use it.

    Attributes:
        folder: The reader's, with the demo's in it.
        addresses: What documents say → what it is here.
        environment: Keeps what a reader starts away from ports of other tests.
    """

    folder: Path
    place: Place
    addresses: dict[str, str]
    environment: dict[str, str]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo after its tour, but for the sites, which a tutorial starts itself."""
    folder = tmp_path_factory.mktemp("reader")
    place = at_free_ports(prepare(folder / DEMO_FOLDER))
    cast = Cast(place, Narrator(Console(file=io.StringIO())))
    with started(place), cast.http:
        cast.assemble()
        ServingChapter(cast).publish()
        _release_tumour(cast)
        _ask_about(cast, "patient-7")
        sites = _bring_rows(place)
        rows = hospitals().test.x[:1]
        write_contract(cast, (describe("tumour", "1", "features", rows, personal=True),), sites)
        assert cast.narrator.broken == 0
        mine, operations, fleet = (free_port() for _ in range(3))
        yield Demo(
            folder,
            place,
            {
                "127.0.0.1:8080": f"127.0.0.1:{place.port}",
                "127.0.0.1:8001": f"127.0.0.1:{place.grpc_port}",
                "127.0.0.1:8081": f"127.0.0.1:{mine}",
                "127.0.0.1:9090": f"127.0.0.1:{operations}",
            },
            {
                "SEALGATE_OPERATIONS_PORT": str(operations),
                "SEALGATE_SITES_PORT": str(fleet),
                "SEALGATE_FEDERATION": "off",
            },
        )


def _release_tumour(cast: Cast) -> None:
    """Release what the demo trains with three sites; here its owner brings it."""
    owner, data = cast.place.folder / "owner", hospitals()
    model, rows = owner / "tumour.onnx", owner / "held-out.npz"
    model.write_bytes(breast_cancer_model(data.sites["north"]))
    rows.write_bytes(data.calibration.npz())
    run = cast.run
    run("clinic-owner", "model", "create", TUMOUR, "--personal", "--data-class", "health")
    run(
        *("clinic-owner", "model", "push", TUMOUR, TUMOUR_VERSION, str(model)),
        *("--key", str(owner / "owner.key"), "--calibration", str(rows)),
    )
    run("clinic-owner", "model", "promote", TUMOUR, TUMOUR_VERSION)


def _ask_about(cast: Cast, person: str) -> None:
    body = request("features", hospitals().test.x[:1], subject=person)
    assert cast.infer(cast.token("clinic-app"), TUMOUR, body).status_code == 200


def _bring_rows(place: Place) -> list[str]:
    """Give the sites of the demo their rows and their configuration."""
    found = hospitals().sites
    for name, rows in found.items():
        folder = place.folder / "sites" / name
        folder.mkdir(mode=0o700, parents=True)
        (folder / "rows.npz").write_bytes(rows.npz())
        values = {
            "name": name,
            "gateway": place.sites_address,
            "ca_file": str(place.ca_file),
            "key_file": "node.key",
            "data": "rows.npz",
            "state": "state",
        }
        lines = [f'{key} = "{value}"\n' for key, value in values.items()]
        (folder / "site.toml").write_text("".join(lines))
    return list(found)
