"""What a process uses, and what will run out, as metrics that are read when somebody asks."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import GC_COLLECTOR, CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.backup import newest
from gateway.process.handshakes import Certificate


class Resources(Collector):
    """Metrics of the process.

    Args:
        version: Of the gateway.
        folders: Whose disks are looked at, by name; the note of a backup is in one of them.
        certificates: What doors show, by their names. Not what their files hold: a file that was
            renewed and not taken over would hide that the old one ends.
    """

    def __init__(
        self,
        version: str,
        folders: Mapping[str, Path],
        certificates: Mapping[str, Certificate],
    ) -> None:
        self._version = version
        self._folders = folders
        self._certificates = certificates

    def collect(self) -> Iterable[Metric]:
        """Read them."""
        told = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily("sealgate_build", "What runs here", value=told)
        yield GaugeMetricFamily(
            "sealgate_threads", "Threads of the process", value=threading.active_count()
        )
        yield from self._disks()
        expiry = GaugeMetricFamily(
            "sealgate_certificate_expiry_timestamp_seconds",
            "When the certificate that a door shows ends",
            labels=["door"],
        )
        for door, certificate in dict(self._certificates).items():
            if certificate.ends is not None:
                expiry.add_metric([door], certificate.ends)
        yield expiry
        backups = [newest.read(folder) for folder in self._folders.values()]
        yield GaugeMetricFamily(
            "sealgate_backup_timestamp_seconds",
            "The moment that the newest backup shows; 0 when there is none",
            value=max((found.at for found in backups if found is not None), default=0),
        )

    def _disks(self) -> Iterable[Metric]:
        free = GaugeMetricFamily(
            "sealgate_disk_free_bytes", "What a folder's disk has left for us", labels=["folder"]
        )
        size = GaugeMetricFamily(
            "sealgate_disk_size_bytes", "What a folder's disk holds", labels=["folder"]
        )
        for name, folder in self._folders.items():
            with suppress(OSError):
                found = os.statvfs(folder)
                free.add_metric([name], found.f_bavail * found.f_frsize)
                size.add_metric([name], found.f_blocks * found.f_frsize)
        yield from (free, size)


def watch(registry: CollectorRegistry, resources: Resources) -> None:
    """Add the process's own metrics to a registry."""
    ProcessCollector(registry=registry)
    registry.register(GC_COLLECTOR)
    registry.register(resources)
