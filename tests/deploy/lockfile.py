"""Reads the lock files: name, version and hashes of each requirement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = (
    "requirements.lock",
    "deploy/gateway.lock",
    "deploy/site.lock",
    ".ci/gateway-tests.lock",
)


@dataclass(frozen=True, slots=True)
class Locked:
    name: str
    version: str
    hashes: tuple[str, ...]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read(lock: str) -> list[Locked]:
    """Every requirement of a lock file, by its path from the root."""
    found = []
    for line in (ROOT / lock).read_text().replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        assert match, f"{lock} holds something other than a pinned requirement: {line[:60]}"
        hashes = tuple(re.findall(r"--hash=(sha256:[0-9a-f]{64})(?=\s|$)", line))
        found.append(Locked(canonical(match[1]), match[2], hashes))
    return found


def names(lock: str) -> set[str]:
    return {one.name for one in read(lock)}
