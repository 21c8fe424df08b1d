"""The control plane on a real PostgreSQL: the gateway is the same, its records are elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from gateway.demo.cast import Cast
from gateway.demo.narrator import Narrator
from gateway.demo.place import ORIGIN, Place
from tests.contracts.backends import postgresql_server
from tests.e2e.house import House, configure, sealgate_command
from tests.e2e.models import train
from tests.ports import free_port


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


def found(folder: Path, database_url: str, port: int) -> Place:
    data = folder / "data"
    done = sealgate_command(
        *("init", "--data", str(data), "--public-url", f"http://127.0.0.1:{port}"),
        *("--origin", ORIGIN, "--database-url", database_url, "--json"),
    )
    assert done.returncode == 0, done.stderr
    place = Place(folder, port, free_port(), free_port(), free_port(), log_key="")
    configure(
        place,
        operations_port=place.operations_port,
        sites_port=place.sites_port,
        federation="off",
    )
    return place


def test_records_on_postgresql_outlive_the_process(tmp_path: Path, database_url: str) -> None:
    place = found(tmp_path, database_url, free_port())
    biopsy = train()["biopsy"]
    narrator = Narrator(Console(file=io.StringIO()))
    with House(place, Cast(place, narrator), {biopsy.name: biopsy}) as house:
        house.cast.assemble()
        house.release(biopsy)
        assert house.infer(biopsy.name).status_code == 200
        assert house.infer(biopsy.name, "bank-app").status_code == 404
        house.stop()
        house.start()
        again = house.infer(biopsy.name)
        assert again.status_code == 200
        assert house.event(again.headers["sealgate-audit"])["model_version"] == "1.0"
    assert not (place.data / "control.db").exists()
    assert database_url not in house.log_path.read_text()

    refused = sealgate_command(
        *("init", "--data", str(tmp_path / "second"), "--database-url", database_url)
    )
    assert refused.returncode == 1
    assert "the records of another data folder" in refused.stderr
    assert not (tmp_path / "second").exists()
