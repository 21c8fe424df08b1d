"""What the demo tells those who try it while it is up works as it stands there, elsewhere too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.demo.hints import hints, program_of
from tests.docs.conftest import Demo
from tests.e2e.house import PATIENCE

PROGRAM = program_of(Path(sys.executable), environment=True)


def told(demo: Demo) -> dict[str, str]:
    return dict(hints(demo.place, demo.place.folder / "profiles" / "clinic-officer.json", PROGRAM))


@pytest.mark.e2e
@pytest.mark.screening
def test_every_address_answers_and_every_file_is_there(demo: Demo) -> None:
    found = [how for how in told(demo).values() if not how.startswith(PROGRAM)]
    assert len(found) == 4
    for how in found:
        if how.startswith("http"):
            assert httpx.get(how, timeout=PATIENCE).status_code == 200, how
        else:
            assert Path(how).is_file()


@pytest.mark.e2e
@pytest.mark.screening
def test_every_command_works_in_another_shell_and_folder(demo: Demo, tmp_path: Path) -> None:
    """`sealgate` was found in the shell only that had entered the environment."""
    commands = [how for how in told(demo).values() if how.startswith(PROGRAM)]
    assert len(commands) == 2
    outside = {"PATH": os.defpath, "HOME": str(tmp_path)}
    for command in commands:
        with subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=tmp_path,
            env=outside,
            stdout=subprocess.PIPE,
            text=True,
        ) as shell:
            assert shell.stdout is not None
            assert shell.stdout.readline(), command
            shell.terminate()


def test_a_folder_with_a_space_does_not_break_a_command(tmp_path: Path) -> None:
    program = tmp_path / "my tools" / "python"
    program.parent.mkdir()
    program.with_name("sealgate").touch()
    assert program_of(program, environment=True) == f"'{tmp_path}/my tools/sealgate'"
    assert program_of(program, environment=False) == "sealgate"
    assert program_of(tmp_path / "python", environment=True) == f"{tmp_path}/python -m gateway"
