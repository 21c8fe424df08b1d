"""A confined job that imports the runtime and then stays for a while."""

from __future__ import annotations

import time
from typing import Any

import onnxruntime

from gateway.artifacts.sandbox import job


def main(
    inputs: dict[str, memoryview], args: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Wait for as long as is asked."""
    time.sleep(args["seconds"])
    return {"runtime": onnxruntime.__version__}, {}


if __name__ == "__main__":
    job(main)
