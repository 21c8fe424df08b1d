"""The converting process: a request as JSON on standard input, messages by line on standard output.

What libraries print goes to standard error. onnxruntime's telemetry is off before it is imported.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec


def main() -> int:
    """Convert; returns the exit code."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    with os.fdopen(os.dup(1), "wb", buffering=0) as out:
        os.dup2(2, 1)
        from gateway.conversion.request import Message, Request, Stuck

        def say(**message: Any) -> None:
            out.write(msgspec.json.encode(Message(**message)) + b"\n")

        request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
        try:
            from gateway.conversion.work import convert

            say(report=convert(request, lambda stage: say(stage=stage)))
        except Stuck as stuck:
            say(reason=stuck.reason, what=stuck.what, remedy=stuck.remedy)
            return 1
        except ModuleNotFoundError as fault:
            package = (fault.name or "").partition(".")[0]
            extra = package in ("onnxmltools", "skl2onnx")
            say(
                reason="missing",
                what=f"it needs `{fault.name}`, which is not installed here",
                remedy="pip install 'sealgate[convert]'" if extra else f"pip install {package}",
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
