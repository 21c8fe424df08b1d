"""What an insider with the files can do to the log: be found out."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from gateway.cli.main import invoke
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import REPOSITORY, House, moved, problem
from tests.e2e.load import Load

ALONE = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
for ours in ("audit", "gateway", "policies", "federated", "msgspec"):
    try:
        __import__(ours)
    except ImportError:
        continue
    raise SystemExit(f"{ours} can be imported here")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def another_machine(folder: Path) -> list[str]:
    """A Python that has `cryptography` and what that needs, and nothing else."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            found = origin.parent if origin.name == "__init__.py" else origin
            (packages / found.name).symlink_to(found)
    shutil.copy(REPOSITORY / "audit" / "verify.py", folder)
    python = os.path.realpath(sys.executable)
    return [python, "-I", "-S", "-c", ALONE, str(packages), str(folder / "verify.py")]


Kept = tuple[Path, list[str], dict[int, bytes]]


@pytest.fixture(scope="module")
def kept(founded: House, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A stopped log of a few hundred entries, its keys, and the clinic's events as stored."""
    with moved(founded, tmp_path_factory.mktemp("kept") / "place") as house:
        with Load(house) as load:
            load.wait_for(300)
        keys = house.log_keys()
    path = house.place.data / "audit.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT idx, bytes FROM body JOIN tree ON tree.id = body.tree WHERE tenant = 'clinic'"
        )
        return path, keys, dict(rows)


def test_any_flipped_byte_of_an_event_is_found_and_its_entry_named(
    kept: Kept,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, keys, events = kept
    pristine, copy, chance = path.read_bytes(), tmp_path / "audit.db", Random(7)  # noqa: S311 - no secret
    options = [part for key in keys for part in ("--key", key)]
    copy.write_bytes(pristine)
    assert invoke(["audit", "verify", str(copy), *options]) == 0
    sample = [0, len(events) - 1, *chance.sample(range(1, len(events) - 1), 10)]
    for index in sample:
        body = events[index]
        assert pristine.count(body) == 1
        start = pristine.index(body)
        for at in (0, len(body) - 1, chance.randrange(len(body)), chance.randrange(len(body))):
            altered = bytearray(pristine)
            altered[start + at] ^= 1 << chance.randrange(8)
            copy.write_bytes(altered)
            capsys.readouterr()
            assert invoke(["audit", "verify", str(copy), *options]) == 6
            said = capsys.readouterr().err
            assert f"first bad entry demo.sealgate/clinic/{index}\n" in said


def test_the_command_names_the_entry_that_was_changed(
    kept: Kept, founded: House, tmp_path: Path
) -> None:
    path, keys, events = kept
    data = bytearray(path.read_bytes())
    data[data.index(events[120]) + 200] ^= 1
    (tmp_path / "audit.db").write_bytes(data)
    options = [part for key in keys for part in ("--key", key)]
    done = founded.command("audit", "verify", str(tmp_path), *options)
    assert done.returncode == 6
    assert "first bad entry demo.sealgate/clinic/120\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gateway_does_not_start_on_a_log_that_was_cut_back(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh()
    older = tmp_path / "older.db"
    house.stop()
    shutil.copy2(house.place.data / "audit.db", older)
    house.start()
    with Load(house) as load:
        load.wait_for(20)
    house.stop()
    shutil.copy2(older, house.place.data / "audit.db")
    done = house.command("serve", "--data", str(house.place.data))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "older or other than what was signed before" in done.stderr


def test_an_entry_that_was_changed_is_not_shown_and_spoils_the_export(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh()
    receipt = house.infer().headers["sealgate-audit"]
    index = int(receipt.rpartition("/")[2])
    assert house.event(receipt)["model_id"] == "digits"
    house.stop()
    path = house.place.data / "audit.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        query = "UPDATE body SET bytes = CAST(replace(bytes, 'digits', 'biopsy') AS BLOB)"
        tree = "tree = (SELECT id FROM tree WHERE tenant = 'clinic')"
        assert connection.execute(f"{query} WHERE {tree} AND idx = ?", (index,)).rowcount == 1
    house.start()
    for resource_path in (f"events/{index}", "events"):
        answer = house.cast.http.get(
            f"{house.url}/v1/audit/{resource_path}", headers=house.bearer("clinic-officer")
        )
        assert (answer.status_code, problem(answer)) == (500, "entry-tampered")
        assert "biopsy" not in answer.text
    key = house.get("/v1/audit/key", "clinic-officer")["key"]
    export = house.export(tmp_path / "audit.zip")
    command = [*another_machine(tmp_path / "machine"), str(export), "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (6, "")
    assert f"first bad entry demo.sealgate/clinic/{index}\n" in done.stdout
    assert house.infer().status_code == 200


def test_an_export_verifies_on_another_machine_to_the_signed_checkpoint(
    house: House, tmp_path: Path
) -> None:
    """The verifier computes the root anew at the size of the checkpoint that the gateway gave."""
    key = house.get("/v1/audit/key", "clinic-officer")["key"]
    assert key in house.log_keys()
    assert house.infer("biopsy").status_code == 200
    answer = house.cast.http.get(
        f"{house.url}/v1/audit/checkpoint", headers=house.bearer("clinic-officer")
    )
    note = answer.raise_for_status().text
    export = house.export(tmp_path / "audit.zip")
    alone = [*another_machine(tmp_path / "machine"), str(export)]

    def verified(checkpoint: str, *options: str) -> tuple[int, str]:
        (tmp_path / "kept").write_text(checkpoint)
        command = [*alone, "--kept", str(tmp_path / "kept"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stderr == ""
        return done.returncode, done.stdout

    code, text = verified(note, "--key", key, "--json")
    assert code == 0, text
    (tree,) = json.loads(text)["trees"]
    origin, size, root, *_ = note.split("\n")
    # The export has one entry more: that it was asked for.
    assert (tree["origin"], tree["size"]) == (origin, int(size) + 1)
    other = base64.b64encode(bytes(32)).decode()
    code, text = verified(note.replace(root, other), "--key", key)
    assert (code, "not the one of the kept checkpoint" in text) == (6, True)
    code, text = verified(note)
    assert (code, "UNPINNED" in text) == (6, True)
