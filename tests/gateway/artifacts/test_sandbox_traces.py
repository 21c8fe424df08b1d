"""What the kernel sees of admission and calibration: no look-up of a name, no file of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.artifacts.odd_models import needs_576_samples
from tests.gateway.screening.classifiers import classifier, clouds, npz
from tests.tools import NOT_ALLOWED, require_tool

pytestmark = pytest.mark.e2e

ADMIT = "from gateway.artifacts.admission import admit; admit(open(sys.argv[1], 'rb').read())"
CALIBRATE = """
from gateway.artifacts.sandbox import run_sandboxed
from gateway.registry.packaging import CALIBRATION, CALIBRATION_LIMITS
inputs = {"model": open(sys.argv[1], "rb").read(), "calibration": open(sys.argv[2], "rb").read()}
assert run_sandboxed(CALIBRATION, inputs, {}, limits=CALIBRATION_LIMITS).outputs
"""
# A job that outlives the moment at which onnxruntime looks up its maker's host, if it does.
LINGER = """
from gateway.artifacts.sandbox import Limits, run_sandboxed
run_sandboxed("tests.gateway.artifacts.lingering", {}, {"seconds": 15}, limits=Limits())
"""
CALLS = "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat,unlink,unlinkat,symlink"
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|\b(?:creat|mkdir|rename|unlink|symlink)\w*\(")
OWN = ("/dev/null", "/memfd:")


def traced(tmp_path: Path, code: str, *files: bytes) -> list[str]:
    """Run the code under strace; return the calls of it and of all that it started."""
    strace = require_tool("strace")
    paths = []
    for number, content in enumerate(files):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(content)
    log = tmp_path / "trace"
    command = [strace, "-f", "-qq", "-o", str(log), "-e", CALLS]
    run = [sys.executable, "-B", "-c", "import sys\n" + code, *map(str, paths)]
    root = Path(__file__).parents[3]
    ended = subprocess.run([*command, *run], cwd=root, check=False, capture_output=True, text=True)
    if "ptrace" in ended.stderr and "not permitted" in ended.stderr:
        pytest.skip(NOT_ALLOWED + "tracing a process")
    assert ended.returncode == 0, ended.stderr
    return log.read_text().splitlines()


def assert_quiet(calls: list[str]) -> None:
    reached = [call for call in calls if re.search(r"AF_INET|:53\b|resolv\.conf|nsswitch", call)]
    assert reached == []
    failed = " = -1 "
    written = [
        call
        for call in calls
        if WRITING.search(call) and failed not in call and not any(own in call for own in OWN)
    ]
    assert written == []
    assert any("onnxruntime" in call for call in calls), "it was traced"


def test_admission_looks_up_no_name_and_writes_no_file(tmp_path: Path) -> None:
    assert_quiet(traced(tmp_path, ADMIT, needs_576_samples().SerializeToString()))


def test_calibration_looks_up_no_name_and_writes_no_file(tmp_path: Path) -> None:
    x, y = clouds(400, seed=1)
    assert_quiet(traced(tmp_path, CALIBRATE, classifier(), npz(x=x, y=y)))


@pytest.mark.soak
def test_a_job_that_lasts_looks_up_no_name_either(tmp_path: Path) -> None:
    assert_quiet(traced(tmp_path, LINGER))
