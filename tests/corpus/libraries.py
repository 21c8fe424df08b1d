"""Run the tests of conversions beside the libraries that owners train with.

usage: python -m tests.corpus.libraries [--keep FOLDER]

A throw-away environment gets what the lock file holds, and XGBoost, LightGBM and torch on top.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LIBRARIES: Final = ("xgboost", "lightgbm", "torch==2.13.0", "onnxscript")
TESTS: Final = ("tests/gateway/conversion", "tests/gateway/cli/test_convert.py")


def main() -> int:
    """Install and run; the exit code is that of the tests."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.libraries", description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder of the environment, made when absent")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder: Path = asked.keep or Path(passing) / "env"
        if not folder.is_dir():
            install(folder)
        command = [str(folder / "bin/python"), "-m", "pytest", "-q", "-n0", *TESTS]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


def install(folder: Path) -> None:
    """Make the environment."""
    uv = Path(sys.executable).with_name("uv")
    python = str(folder / "bin/python")
    for arguments in (
        ("venv", "--quiet", "--python", sys.executable, str(folder)),
        ("pip", "sync", "--quiet", "--python", python, "--require-hashes", "requirements.lock"),
        ("pip", "install", "--quiet", "--python", python, *LIBRARIES),
        ("pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "."),
    ):
        subprocess.run([uv, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
