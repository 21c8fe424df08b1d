"""The control plane on a real PostgreSQL: the gateway is the same, its records are elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest
from rich.console import Console
from sqlalchemy import make_url

from gateway.demo.cast import Cast
from gateway.demo.narrator import Narrator
from gateway.demo.place import ORIGIN, Place
from tests.contracts.backends import postgresql_server
from tests.e2e.house import PATIENCE, House, configure, sealgate_command, until
from tests.e2e.models import train
from tests.gateway.storage.stopping_proxy import stopping_proxy
from tests.ports import free_port

UNWELL = "not well: database\n"


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


def test_a_database_that_hangs_is_told_by_readiness_and_keeps_no_metrics_from_anybody(
    tmp_path: Path, database_url: str
) -> None:
    """Requests that waited for it had all threads, and readiness and metrics waited behind them."""
    with stopping_proxy(fresh_database(database_url)) as (proxy, url):
        place = found(tmp_path, url, free_port())
        operations = f"http://127.0.0.1:{place.operations_port}"
        narrator = Narrator(Console(file=io.StringIO()))
        with House(place, Cast(place, narrator), {}) as house, ThreadPoolExecutor(40) as pool:
            until(lambda: httpx.get(f"{operations}/health/ready").status_code == 200)
            proxy.going.clear()
            asking = [pool.submit(ask_for_a_token, house, n) for n in range(40)]
            until(lambda: httpx.get(f"{operations}/health/ready", timeout=PATIENCE).text == UNWELL)
            metrics = httpx.get(f"{operations}/metrics", timeout=PATIENCE)
            assert "sealgate_build_info" in metrics.text
            assert not any(each.done() for each in asking), "they wait still"
            proxy.going.set()
            assert {each.result() for each in asking} <= {401, 503}
            until(lambda: httpx.get(f"{operations}/health/ready").status_code == 200)


def fresh_database(url: str) -> str:
    """Make one more on the server: the records of a data folder are its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE hanging ENCODING 'UTF8' TEMPLATE template0")
    return make_url(url).set(database="hanging").render_as_string(hide_password=False)


def ask_for_a_token(house: House, number: int) -> int:
    return httpx.post(
        f"http://127.0.0.1:{house.place.port}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(f"nobody-{number}", "x" * 43),
        timeout=PATIENCE,
    ).status_code
