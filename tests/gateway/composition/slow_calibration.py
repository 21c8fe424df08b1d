"""A calibration that does not come to an end by itself."""

from __future__ import annotations

import time
from typing import Any

from gateway.artifacts.sandbox import job


def main(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    time.sleep(600)


if __name__ == "__main__":
    job(main)
