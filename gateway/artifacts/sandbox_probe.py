"""A confined job that does nothing: whether jobs can run here, and how far they are confined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.artifacts.confinement import job


def main(
    inputs: Mapping[str, memoryview], args: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return an empty report."""
    del inputs, args
    return {}, {}


if __name__ == "__main__":
    job(main)
