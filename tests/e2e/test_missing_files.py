"""A data folder that lost something says so, with a remedy: never a traceback or a first run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import MakeHouse
from tests.e2e.house import PATIENCE, House, told

TOLD: Final = {
    "sealgate.toml": "restore it from a backup",
    "audit.db": "restore it from a backup",
    "subjects.db": "restore it from a backup",
    "control.db": "restore it from a backup",
    "artifacts": "restore it from a backup",
    "artifacts/payload": "restore it from a backup",
    "checkpoints.json": "sealgate audit verify",
    "keystore": "restore it from a backup",
    "keystore/keys": "restore it from a backup",
    "keystore/unlock.key": "restore it from a backup",
}
"""What is refused, and a part of the advice."""
MADE_ANEW: Final = frozenset({"artifacts/staging", "federation", "keystore/lock", "lock", "run"})
"""What holds nothing between two runs."""
OF_OTHERS: Final = frozenset({"admin.json", "admin.key"})
"""What the commands of the administrator need, and the gateway does not."""
LATER: Final = ("-wal", "-shm")


def parts(data: Path) -> set[str]:
    """What a data folder is made of, but for single payloads."""
    found = {str(path.relative_to(data)) for path in data.rglob("*")}
    return {name for name in found if not name.startswith("artifacts/payload/")}


@pytest.fixture(scope="module")
def folder(founded: House) -> Path:
    return founded.place.data


def test_the_table_knows_every_part_of_a_data_folder(folder: Path) -> None:
    known = {*TOLD, *MADE_ANEW, *OF_OTHERS}
    unknown = {name for name in parts(folder) - known if not name.endswith(LATER)}
    assert unknown == set(), "what happens when it is missing?"


def lose(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for end in LATER:
        path.with_name(path.name + end).unlink(missing_ok=True)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_what_is_missing_is_named_and_nothing_is_made_in_its_place(
    folder: Path, tmp_path: Path, name: str
) -> None:
    data = tmp_path / "a place"
    shutil.copytree(folder, data, copy_function=shutil.copy2)
    lose(data / name)
    command = [sys.executable, "-m", "gateway", "serve", "--data", str(data)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == 1, done.stderr
    assert lines[0].startswith("error: "), done.stderr
    assert f"`{name}`" in lines[0]
    assert lines[1].startswith("next: ")
    assert TOLD[name] in lines[1]
    assert len(lines) == 2
    assert not (data / name).exists()


def test_what_holds_nothing_between_two_runs_is_made_anew(fresh: MakeHouse) -> None:
    house = fresh(started=False)
    for name in sorted(MADE_ANEW | OF_OTHERS):
        if (house.place.data / name).exists():
            lose(house.place.data / name)
    house.start()
    assert house.infer().status_code == 200


def test_a_payload_that_is_missing_costs_its_model_only(fresh: MakeHouse) -> None:
    house = fresh(started=False)
    payloads = house.place.data / "artifacts" / "payload"
    for path in payloads.iterdir():
        path.unlink()
    house.start()
    answer = house.infer()
    assert (answer.status_code, answer.json()["title"]) == (503, "model unavailable")
    assert [line for line in told(house) if "Traceback" in str(line)] == []


@pytest.mark.federated
def test_a_folder_without_a_coordinators_place_starts_one(fresh: MakeHouse) -> None:
    """A backup without empty folders is one: `run` was missed by a traceback."""
    house = fresh(started=False, federation="on")
    for name in ("run", "federation"):
        lose(house.place.data / name)
    house.start()
    for name in ("run", "federation"):
        assert (house.place.data / name).stat().st_mode & 0o077 == 0
    anew = {line["folder"] for line in told(house) if line["event"] == "folder_made_anew"}
    assert anew == {"run", "federation"}
