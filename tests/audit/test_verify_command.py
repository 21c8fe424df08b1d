"""The verifier as a command: one file, by itself, on a machine without our packages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from audit import verify
from audit.stores.sqlite import SqliteLogStore
from tests.audit.exports import FIRST, KEY, Archive, first_bad


def test_the_report_never_steers_a_terminal(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.files["checkpoint"] = archive.files["checkpoint"].replace(b"log.", b"\x1b[2J")
    archive.files["\x1b]0;x"] = b""
    verify.main([str(archive.write())])
    assert "\x1b" not in capsys.readouterr().out


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the file alone: isolated, from elsewhere, without our packages."""
    code = (
        "import runpy, sys; sys.path = [p for p in sys.path if p != sys.argv[1]];"
        "sys.modules['audit'] = None; sys.argv = sys.argv[2:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    file = Path(verify.__file__)
    return subprocess.run(
        [sys.executable, "-I", "-c", code, str(file.parents[1]), str(file), *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.e2e
def test_the_file_works_alone_and_its_exit_status_tells(archive: Archive) -> None:
    path = str(archive.write())
    good = script(path, "--key", KEY)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.rstrip().endswith("VERIFIED")
    unpinned = script(path)
    assert unpinned.returncode == 6
    assert "UNPINNED" in unpinned.stdout
    name = "tile/entries/001.p/44"
    archive.files[name] = archive.files[name].replace(b'"r290"', b'"r291"')
    bad = script(str(archive.write()), "--key", KEY, "--json")
    assert bad.returncode == 6
    report = json.loads(bad.stdout)
    assert (report["status"], report["first_bad"]) == ("FAILED", f"{FIRST}290")


def test_the_file_imports_only_the_standard_library_and_cryptography() -> None:
    source = Path(verify.__file__).read_text()
    roots = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
    assert roots <= set(sys.stdlib_module_names) | {"cryptography"}


@pytest.mark.e2e
def test_the_help_teaches() -> None:
    helped = script("--help")
    assert helped.returncode == 0
    for word in ("UNPINNED", "exit status", "verify_folder.py", "--kept"):
        assert word in helped.stdout


def test_a_database_is_refused_with_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    SqliteLogStore(path).close()
    assert first_bad(path) == "?"
    assert first_bad(tmp_path) == "?"


@pytest.mark.e2e
def test_a_malformed_key_is_a_usage_error(archive: Archive) -> None:
    wrong = script(str(archive.write()), "--key", "nonsense")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
