"""Counts by version since the process began, as Triton's statistics extension tells them.

They are for callers who may read a model's metadata; the operator's are `gateway.telemetry`. Kept
on the event loop only. There is an entry for each version that was called; the registry has more.

Source: Triton's statistics extension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Version: TypeAlias = tuple[str, str, str]
"""Tenant, model and version."""


@dataclass(slots=True)
class Duration:
    """How often something took place, and how long it took together."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.ns += int(seconds * 1_000_000_000)


@dataclass(slots=True)
class VersionStatistics:
    """What was counted of one version.

    Attributes:
        last_inference: Unix milliseconds of the last request; 0 before the first.
        inference_count: Rows that were answered.
        success: Requests that were answered, from the token to the durable record.
        fail: Requests that were refused or failed after the model was found for their caller.
    """

    last_inference: int = 0
    inference_count: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)


class Statistics:
    """Counts requests.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._versions: dict[Version, VersionStatistics] = {}

    def count(self, version: Version, *, answered: bool, rows: int, seconds: float) -> None:
        """Count one request.

        Args:
            version: Which it went to.
            answered: Whether it was; else it failed.
            rows: Of its batch.
            seconds: How long it took.
        """
        found = self._versions.get(version)
        if found is None:
            found = self._versions[version] = VersionStatistics()
        found.last_inference = int(self._clock() * 1000)
        if answered:
            found.success.add(seconds)
            found.inference_count += rows
        else:
            found.fail.add(seconds)

    def of(self, version: Version) -> VersionStatistics:
        """Return what was counted of a version: all zero before its first request."""
        return self._versions.get(version) or VersionStatistics()
