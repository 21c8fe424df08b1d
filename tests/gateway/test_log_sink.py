"""Where the log goes, and what becomes of it when somebody moves, cuts or fills the file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import pytest

from gateway.errors import ConfigurationError
from gateway.log_sink import LogSink

FULL = Path("/dev/full")


def test_lines_of_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = LogSink(path)
    lines = [f"{n}" * 9000 + "\n" for n in range(8)]
    threads = [threading.Thread(target=sink.write, args=(line,)) for line in lines for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines * 3)


def test_a_file_that_was_cut_short_goes_on_from_its_new_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = LogSink(path)
    sink.write("a" * 5000 + "\n")
    os.truncate(path, 0)
    sink.write("b\n")
    assert path.read_bytes() == b"b\n", "no hole"


def test_a_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        LogSink(tmp_path / "log")
    finally:
        os.umask(before)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640
    given = tmp_path / "given"
    given.touch(0o600)
    LogSink(given)
    assert given.stat().st_mode & 0o777 == 0o600


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError):
        LogSink(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ConfigurationError, match="no file"):
        LogSink(pipe)
    os.close(reader)
    with pytest.raises(ConfigurationError):
        LogSink(tmp_path)


def test_what_cannot_be_written_is_lost_and_counted(tmp_path: Path) -> None:
    """A full disk raised in whoever told something."""
    sink = LogSink(tmp_path / "log")
    broken = os.open(FULL, os.O_WRONLY)
    assert sink._file is not None
    os.dup2(broken, sink._file)
    os.close(broken)
    sink.write("a line\n")
    sink.write("two\nlines\n")
    assert sink.lost == 3


FILLS: Final = """
import resource, signal, sys
from pathlib import Path
from gateway.log_sink import LogSink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
sink = LogSink(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
sink.write("first\\n")
sink.write("the second\\nthe third\\n")  # four bytes of it have room
sink.write("the fourth\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with sink.moving(path):  # SIGHUP, and nobody had moved it
    pass
sink.write("the fifth\\n")
sink.write("the sixth\\n")
print(sink.lost)
"""


@pytest.mark.e2e
def test_a_line_that_a_full_disk_cut_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", FILLS, path], capture_output=True, text=True, check=True
    )
    assert path.read_text() == "first\nthe \nthe fifth\nthe sixth\n"
    assert done.stdout == "3\n"


def test_without_a_file_it_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    LogSink().write("a line\n")
    assert capsys.readouterr().err == "a line\n"
