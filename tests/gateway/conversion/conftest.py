"""Owners' own libraries are not among what is installed for tests: their files are left out then.

`python -m tests.corpus.libraries` installs them beside the rest, and runs all.
"""

from __future__ import annotations

import importlib.util
from typing import Final

NEEDS: Final = {
    "test_boosters.py": ("lightgbm", "onnxmltools", "xgboost"),
    "test_networks.py": ("onnxscript", "torch"),
}

collect_ignore = [
    file
    for file, packages in NEEDS.items()
    if any(importlib.util.find_spec(package) is None for package in packages)
]
