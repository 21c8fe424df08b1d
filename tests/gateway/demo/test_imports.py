"""What is imported where: a runtime for models belongs to engines and to confined jobs."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys
from gateway.cli.main import GROUPS
for module, _ in GROUPS.values():
    importlib.import_module(module)
import gateway.demo.tour
print(*({"onnxruntime", "art"} & set(sys.modules)))
"""


@pytest.mark.e2e
@pytest.mark.screening
def test_no_command_imports_a_runtime_that_calls_its_maker() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
