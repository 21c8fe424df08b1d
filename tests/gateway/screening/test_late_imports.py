"""A confined job changes its user before it works: what it imports late, it may not find.

An environment that only its owner can read (a home folder, a temporary one) shows it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import numpy as np
import pytest

from gateway.demo.datasets import hospitals
from gateway.demo.models import breast_cancer_model
from tests.gateway.artifacts.odd_models import needs_a_step, never_runs, strings
from tests.gateway.screening.classifiers import npz

PROGRAM = """
import base64, json, sys
from gateway.artifacts import admission_job
from gateway.screening import calibration

calibrated, *admitted = [
    {name: memoryview(base64.b64decode(text)) for name, text in inputs.items()}
    for inputs in json.load(sys.stdin)
]
before = set(sys.modules)
assert "refused" not in calibration.main(calibrated, {})[0]
seconds = {"run_seconds": 10, "search_seconds": 10}
told = [admission_job.main(inputs, seconds)[0].get("refused") for inputs in admitted]
print(json.dumps({"late": sorted(set(sys.modules) - before), "told": told}))
"""


@pytest.mark.e2e
def test_a_confined_job_imports_nothing_once_it_works() -> None:
    data = hospitals()
    model = breast_cancer_model(next(iter(data.sites.values())))
    rows = data.calibration.npz()
    sample = npz(features=np.zeros((3, 30)))
    texts = npz(x=np.array([["a"], ["b"]]))
    jobs: list[dict[str, bytes]] = [
        {"model": model, "calibration": rows},
        {"model": model, "rows": rows},
        {"model": model, "sample": sample},
        {"model": strings().SerializeToString(), "sample": texts},
        {"model": needs_a_step().SerializeToString()},
        {"model": never_runs().SerializeToString()},
        {"model": b"no model"},
        {"model": model, "sample": b"no archive"},
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(
            [{name: base64.b64encode(d).decode() for name, d in job.items()} for job in jobs]
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["late"] == []
    assert found["told"] == [None] * 4 + ["not_runnable", "malformed", "sample"]
