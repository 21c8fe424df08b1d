"""A confined job that does what its argument says, good or bad."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import sys
import time
from typing import Any

from gateway.artifacts.sandbox import job


def echo(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    return {"args": args}, {name: bytes(view) for name, view in inputs.items()}


def spin(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    while True:
        pass


def sleep(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    os.fork()
    time.sleep(20)
    os._exit(0)


def hoard(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    return {"size": len(bytearray(8 << 30))}, {}


def flood(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    return {}, {"big": bytes(32 << 20)}


def fail(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    raise RuntimeError("the secret of the model")


def lie(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    os._exit(0)


def tamper(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.pwrite(fd, b"x", 0)
        with contextlib.suppress(OSError, ValueError):
            mmap.mmap(fd, 1)[0] = 120
    return {}, {"seen": bytes(inputs["model"])}


def look(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    refused = None
    try:
        with socket.socket() as client:
            client.connect(("127.0.0.1", args["port"]))
    except OSError as error:
        refused = type(error).__name__
    open_files = []
    for fd in range(3, 256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        open_files.append(fd)
    return {
        "uid": os.getuid(),
        "environment": sorted(os.environ),
        "open_files": len(open_files),
        "network": refused,
        "path": sys.flags.isolated,
    }, {}


JOBS = {f.__name__: f for f in (echo, spin, sleep, hoard, flood, fail, lie, tamper, look)}


def main(inputs: dict[str, memoryview], args: dict[str, Any]) -> Any:
    return JOBS[args["do"]](inputs, args)


if __name__ == "__main__":
    job(main)
