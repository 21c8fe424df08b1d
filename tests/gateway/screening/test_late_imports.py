"""A confined job changes its user before it works: what it imports late, it may not find.

An environment that only its owner can read (a home folder, a temporary one) shows it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.demo.datasets import hospitals
from gateway.demo.models import breast_cancer_model

PROGRAM = """
import sys
from gateway.artifacts import admission_job
from gateway.screening import calibration

size = int(sys.argv[1])
data = sys.stdin.buffer.read()
inputs = {"model": memoryview(data[:size]), "calibration": memoryview(data[size:])}
before = set(sys.modules)
assert "refused" not in calibration.main(inputs, {})[0]
assert "refused" not in admission_job.main(inputs, {"run_seconds": 10})[0]
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.e2e
def test_a_confined_job_imports_nothing_once_it_works() -> None:
    data = hospitals()
    model = breast_cancer_model(next(iter(data.sites.values())))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(len(model))],
        input=model + data.calibration.npz(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split() == []
