"""The confined job that looks at policy sets: `policies.examination` in a process of its own.

Input: `order`, in JSON. Output: `reports`, in JSON, one a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.artifacts.confinement import job
from policies.examination import read_own_files, work


def main(
    inputs: Mapping[str, memoryview], _: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the job.

    Args:
        inputs: `order`.
        _: No arguments.
    """
    return {}, {"reports": work(bytes(inputs["order"]))}


if __name__ == "__main__":
    read_own_files()
    job(main)
