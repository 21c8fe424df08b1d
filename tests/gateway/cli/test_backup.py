"""`sealgate backup` and `sealgate restore`, as an operator types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import sealgate
from tests.gateway.place import found_folder

FULL = """
import resource
from gateway.cli.main import run
resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, resource.RLIM_INFINITY))
run({words})
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("place") / "data"
    found_folder(data, 8080, {})
    return data


def unlock(data: Path) -> tuple[str | Path, ...]:
    return ("--unlock-secret", data / "keystore/unlock.key")


def test_from_a_folder_to_a_file_and_to_a_folder_again(data: Path, tmp_path: Path) -> None:
    made = sealgate("backup", "--data", data, "--to", tmp_path, "--json").json
    file = Path(made["file"])
    assert file.parent == tmp_path
    assert (made["entries"], made["bytes"]) == (1, file.stat().st_size)
    checked = sealgate("backup", "verify", file, *unlock(data), "--json").json
    assert (checked["status"], checked["id"], checked["missing"]) == ("VERIFIED", made["id"], {})
    back = sealgate("restore", file, "--to", tmp_path / "again", *unlock(data), "--json").json
    assert (back["data"], back["id"]) == (str(tmp_path / "again"), made["id"])


def test_each_step_tells_the_next(data: Path, tmp_path: Path) -> None:
    file, again = tmp_path / "a.backup", tmp_path / "again"
    made = sealgate("backup", "--data", data, "--to", file)
    assert "keep that secret where the backup is not" in made.err
    assert f"next: sealgate backup verify {file}" in made.err
    assert f"next: sealgate restore {file}" in sealgate("backup", "verify", file, *unlock(data)).err
    back = sealgate("restore", file, "--to", again, *unlock(data))
    assert "is undone: erasures and revocations too" in back.err
    assert f"next: sealgate serve --data {again}" in back.err


def test_without_a_target_there_is_help() -> None:
    shown = sealgate("backup")
    assert (shown.code, shown.err) == (0, "")
    assert "Example: sealgate backup" in shown.out


def test_what_does_not_hold_has_a_code_of_its_own(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.backup"
    sealgate("backup", "--data", data, "--to", file)
    file.write_bytes(file.read_bytes()[:-1])
    for words in (("backup", "verify", file), ("restore", file, "--to", tmp_path / "again")):
        said = sealgate(*words, *unlock(data))
        assert (said.code, said.out) == (ExitCode.UNVERIFIED, "")
    other = tmp_path / "other.key"
    other.write_bytes(bytes(32))
    other.chmod(0o600)
    sealgate("backup", "--data", data, "--to", tmp_path / "b.backup")
    said = sealgate("backup", "verify", tmp_path / "b.backup", "--unlock-secret", other, "--json")
    assert said.code == ExitCode.UNVERIFIED
    assert "--unlock-secret" in json.loads(said.err)["next"]


def test_a_folder_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    said = sealgate("backup", "--data", tmp_path, "--to", tmp_path / "x")
    assert said.code == ExitCode.FAILED
    assert "sealgate init" in said.err


def test_a_password_that_goes_into_the_backup_is_told(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    settings = folder / "sealgate.toml"
    line = 'database_url = "postgresql://sealgate:{}@127.0.0.1/x"\n'
    for secret, told in (("not-to-be-shown", True), ("", False)):
        settings.write_text(line.format(secret) + (data / "sealgate.toml").read_text())
        words = ("--data", folder, "--to", tmp_path / f"{told}.backup", "--database-apart")
        said = sealgate("backup", *words)
        assert said.code == ExitCode.OK
        assert ("holds a password in clear" in said.err) == told
        assert "not-to-be-shown" not in said.err + said.out


@pytest.mark.e2e
@pytest.mark.parametrize("size", [40_000, 100_000, 150_000, 300_000])
def test_a_full_disk_leaves_nothing_half(data: Path, tmp_path: Path, size: int) -> None:
    """The bound on a file's size fails the way that a full disk does: in the middle of a write."""
    to = tmp_path / "backups"
    to.mkdir()
    words = ["backup", "--data", str(data), "--to", str(to / "a.backup")]
    script = FULL.format(bytes=size, words=words)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.FAILED, done.stderr
    assert "no room for the backup" in done.stderr
    assert "next: make room" in done.stderr
    assert list(to.iterdir()) == []


@pytest.mark.e2e
@pytest.mark.parametrize("size", [100, 50_000, 150_000])
def test_a_full_disk_restores_nothing_half(data: Path, tmp_path: Path, size: int) -> None:
    file, to = tmp_path / "a.backup", tmp_path / "to"
    to.mkdir()
    sealgate("backup", "--data", data, "--to", file)
    words = ["restore", str(file), "--to", str(to / "data"), *map(str, unlock(data))]
    script = FULL.format(bytes=size, words=words)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.FAILED, done.stderr
    assert "next: check the path, and the room that is left" in done.stderr
    assert list(to.iterdir()) == []
