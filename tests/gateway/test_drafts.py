"""What is made beside its place leaves nothing, whoever was killed, and nobody waits for long."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from gateway.drafts import draft
from gateway.errors import ConfigurationError

KILLED: Final = """
import os, sys
from pathlib import Path
from gateway.drafts import draft
with draft(Path(sys.argv[1]), "data") as folder:
    (folder / "half").write_text("a file")
    os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.e2e
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """A restore that was killed left a hidden folder of whole databases for ever."""
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "data"], check=False, timeout=240)
    (left,) = names(tmp_path)
    assert names(tmp_path / left) == ["half"]
    with draft(tmp_path / "data", "data") as folder:
        assert names(tmp_path) == [folder.name]
    assert names(tmp_path) == []


def test_one_that_is_being_filled_is_left_alone_and_so_is_what_is_somebody_elses(
    tmp_path: Path,
) -> None:
    (tmp_path / ".data.mine.partial").mkdir()
    (tmp_path / ".other.0123456789abcdef.partial").mkdir()
    with draft(tmp_path / "data", "data") as first:
        with draft(tmp_path / "data", "data") as second:
            assert first != second
            assert first.is_dir()
        assert first.is_dir()
    assert names(tmp_path) == [".data.mine.partial", ".other.0123456789abcdef.partial"]


def test_a_draft_that_got_its_name_stays(tmp_path: Path) -> None:
    with draft(tmp_path / "data", "data") as folder:
        folder.rename(tmp_path / "data")
    assert names(tmp_path) == ["data"]


def test_a_folder_that_somebody_holds_is_told_and_not_waited_for(tmp_path: Path) -> None:
    """A backup waited for ever, and said nothing."""
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(ConfigurationError, match="locked"), draft(tmp_path / "x", "x", 0.1):
        pytest.fail("it was held")
    os.close(held)
    assert names(tmp_path) == []
