"""What the kernel sees of admission and calibration: no look-up of a name, no file of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.gateway.artifacts.odd_models import needs_576_samples
from tests.gateway.screening.classifiers import classifier, clouds, npz
from tests.tracing import Trace, traced

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


def calls_of(tmp_path: Path, code: str, *files: bytes) -> Trace:
    """Run the code, and trace it and all that it starts."""
    paths = []
    for number, content in enumerate(files):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(content)
    run = [sys.executable, "-B", "-c", "import sys\n" + code, *map(str, paths)]
    return traced(run, tmp_path / "trace")


def assert_quiet(trace: Trace) -> None:
    assert trace.looked_up() == []
    assert [call for call in trace.calls if "AF_INET" in call] == []
    assert trace.outside() == []
    assert trace.written() == []
    assert any("onnxruntime" in call for call in trace.calls), "it was traced"


def test_admission_looks_up_no_name_and_writes_no_file(tmp_path: Path) -> None:
    assert_quiet(calls_of(tmp_path, ADMIT, needs_576_samples().SerializeToString()))


def test_calibration_looks_up_no_name_and_writes_no_file(tmp_path: Path) -> None:
    x, y = clouds(400, seed=1)
    assert_quiet(calls_of(tmp_path, CALIBRATE, classifier(), npz(x=x, y=y)))


@pytest.mark.soak
def test_a_job_that_lasts_looks_up_no_name_either(tmp_path: Path) -> None:
    assert_quiet(calls_of(tmp_path, LINGER))
