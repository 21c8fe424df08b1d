"""`sealgate doctor` finds what is wrong with a place by its name, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.backup import newest
from gateway.composition.backup import back_up
from gateway.composition.doctor import examine
from gateway.composition.environment import system_environment
from gateway.composition.foundation import open_foundation
from gateway.demo.place import _make_certificates
from gateway.doctor.findings import Finding
from gateway.process.ownership import owned
from gateway.settings import load_settings
from tests.gateway.place import ENVIRONMENT, found_folder
from tests.ports import free_port

pytestmark = pytest.mark.e2e  # sandbox and engines are started


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("founded") / "data"
    found_folder(data, free_port(), {"operations_port": free_port()})
    with open_foundation(load_settings(data), ENVIRONMENT) as base:
        base.log.start()
        base.log.close()
    back_up(load_settings(data), data.parent, ENVIRONMENT, lambda *_: None)
    return data


@pytest.fixture
def data(founded: Path, tmp_path: Path) -> Path:
    shutil.copytree(founded, tmp_path / "data")
    return tmp_path / "data"


def seen(data: Path) -> dict[str, Finding]:
    return {
        one.check: one for one in examine(data, lambda: load_settings(data), system_environment())
    }


def digest(folder: Path) -> str:
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        told.update(f"{path.relative_to(folder)} {path.lstat().st_mode}\n".encode())
        if path.is_file():
            told.update(path.read_bytes())
    return told.hexdigest()


def setting(data: Path, **values: Any) -> None:
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    kept = [
        line
        for line in (data / "sealgate.toml").read_text().splitlines(keepends=True)
        if line.split(" =")[0] not in values
    ]
    (data / "sealgate.toml").write_text("".join(lines + kept))


def tls(data: Path, name: str = "public.pem") -> Path:
    folder = data.parent / "tls"
    folder.mkdir()
    _make_certificates(folder)
    setting(data, tls_certificate=str(folder / name), tls_key=str(folder / "sites.key"))
    shutil.copy(folder / "sites.pem", folder / "public.pem")
    return folder


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4000] = os.urandom(3900)
    path.write_bytes(content)


def another_root(data: Path) -> None:
    (data / "keystore/unlock.key").write_bytes(os.urandom(32))


def forget_checkpoints(data: Path) -> None:
    (data / "checkpoints.json").write_text("{}")


def another_key(data: Path) -> None:
    folder, other = tls(data), data.parent / "other"
    other.mkdir()
    _make_certificates(other)
    shutil.copy(other / "sites.key", folder / "sites.key")


def another_name(data: Path) -> None:
    tls(data)
    setting(data, public_url="https://models.example")


FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "folder for others": ("data folder", lambda data: data.chmod(0o755)),
    "settings that are no TOML": ("settings", lambda d: (d / "sealgate.toml").write_text("port =")),
    "unknown setting": ("settings", lambda data: setting(data, prot=1)),
    "no keystore": ("keystore", lambda data: shutil.rmtree(data / "keystore")),
    "another unlock key": ("keystore", another_root),
    "keystore for others": ("keystore", lambda data: (data / "keystore/keys").chmod(0o644)),
    "no control database": ("control database", lambda data: (data / "control.db").unlink()),
    "damaged control database": ("control database", lambda data: garble(data / "control.db")),
    "no audit log": ("audit log", lambda data: (data / "audit.db").unlink()),
    "damaged audit log": ("audit log", lambda data: garble(data / "audit.db")),
    "forgotten checkpoints": ("checkpoints", forget_checkpoints),
    "no checkpoints": ("checkpoints", lambda data: (data / "checkpoints.json").unlink()),
    "no subjects": ("data subjects", lambda data: (data / "subjects.db").unlink()),
    "no artifact store": ("artifact store", lambda data: shutil.rmtree(data / "artifacts")),
    "no certificate": ("certificate", lambda data: tls(data, "gone.pem")),
    "another key": ("certificate", another_key),
    "certificate of another name": ("certificate", another_name),
    "no runtime": (
        "engines other",
        lambda data: (data / "sealgate.toml").write_text(
            (data / "sealgate.toml").read_text()
            + f'\n[engines.other]\npython = "{sys.executable}"\nproviders = ["NoSuchProvider"]\n'
        ),
    ),
}


def test_a_sound_place_is_well_and_is_left_as_it_was(data: Path) -> None:
    before = digest(data)
    assert {one.check: one.what for one in seen(data).values() if one.state != "ok"} == {}
    assert digest(data) == before


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_by_its_name_with_a_remedy(data: Path, fault: str) -> None:
    check, plant = FAULTS[fault]
    plant(data)
    bad = {one.check: one for one in seen(data).values() if one.state == "fault"}
    assert check in bad, bad
    assert bad[check].next


@pytest.mark.parametrize("how", ["none", "old", "unreadable"])
def test_a_backup_that_is_missing_or_old_is_warned_of(data: Path, how: str) -> None:
    if how == "none":
        (data / newest.NOTE_FILE).unlink()
    elif how == "old":
        newest.write(data, newest.Newest(id="x", at=int(time.time()) - 50 * 3600, entries=1))
    else:
        (data / newest.NOTE_FILE).write_bytes(b"{")
    found = seen(data)["backup"]
    assert found.state == "warning"
    assert f"sealgate backup --data {data}" in found.next


def test_a_port_that_is_taken_names_its_setting(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", load_settings(data).operations_port))
        taken.listen()
        found = seen(data)["operations port"]
    assert (found.state, "`operations_port`" in found.next) == ("fault", True)


def test_a_gateway_that_owns_the_folder_and_does_not_answer_is_found(data: Path) -> None:
    with owned(data):
        found = seen(data)
    assert found["gateway"].state == found["port"].state == "fault"


def test_the_command_says_it_in_lines_in_json_and_by_its_exit_code(data: Path) -> None:
    def doctor(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "gateway", "doctor", "--data", str(data), *more]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    well = doctor()
    assert (well.returncode, "✓ keystore" in well.stdout) == (0, True)
    (data / "subjects.db").unlink()
    ill = doctor("--json")
    (found,) = [one for one in json.loads(ill.stdout) if one["state"] != "ok"]
    assert (ill.returncode, found["check"], found["next"]) == (
        6,
        "data subjects",
        "restore it from a backup",
    )


def test_a_log_without_entries_needs_no_checkpoint(data: Path) -> None:
    with sqlite3.connect(data / "audit.db") as log:
        log.execute("DELETE FROM tree")
    forget_checkpoints(data)
    assert seen(data)["checkpoints"].state == "ok"
