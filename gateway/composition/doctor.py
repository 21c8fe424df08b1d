"""All looks at one gateway's place, in an order in which the first fault explains the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.sandbox import Limits, run_sandboxed
from gateway.backup import newest
from gateway.composition.environment import Environment
from gateway.composition.foundation import (
    ARTIFACTS,
    AUDIT_FILE,
    KEYSTORE,
    PINS_FILE,
    SUBJECTS_FILE,
    unlock_of,
)
from gateway.composition.inference import engine_kinds
from gateway.doctor import folder, machine
from gateway.doctor.findings import Finding, Ill, look
from gateway.engine.pool import Engines, Room
from gateway.engine.ports import EngineKind
from gateway.engine.process import Bounds
from gateway.process.ownership import LOCK_FILE
from gateway.settings import CONTROL_FILE, Settings
from gateway.storage.database import open_database

SETTINGS: Final = "see docs/reference/settings.md"
_SECONDS: Final = 20.0
BACKUP_HOURS: Final = 49
"""A daily one may fail once."""


def examine(
    data: Path, read: Callable[[], Settings], environment: Environment
) -> Iterator[Finding]:
    """Look at everything, one after the other; nothing is changed.

    Args:
        data: The data folder.
        read: Returns the settings.
        environment: Time, randomness and what starts engines.
    """
    yield look("python", machine.versions)
    yield look("clock", machine.clock)
    yield look("environment", partial(machine.environment, os.environ))
    yield look("descriptors", machine.descriptors)
    yield look("data folder", partial(folder.private, data))
    settings: list[Settings] = []
    yield look("settings", partial(_settings, read, settings), SETTINGS)
    yield look("sandbox", _sandbox, "see docs/threat-model.md: what the kernel must allow")
    if not settings:
        return
    yield from _of_folder(data, settings[0], environment)
    yield from _of_doors(data, settings[0])
    for kind in engine_kinds(settings[0]):
        yield look(f"engines {kind.name}", partial(_engines, kind, environment))


def _settings(read: Callable[[], Settings], found: list[Settings]) -> str:
    found.append(read())
    return "they can be used"


def _of_folder(data: Path, settings: Settings, environment: Environment) -> Iterator[Finding]:
    runs = folder.runs(data / LOCK_FILE)
    yield look("disk", partial(machine.disk, data))
    yield look("keystore", partial(_keystore, data, settings, environment), folder.RESTORE)
    if settings.database_url is None:
        yield look("control database", partial(folder.database, data / CONTROL_FILE))
    else:
        yield look("control database", partial(_postgresql, settings), "see `database_url`")
    yield look("audit log", partial(folder.database, data / AUDIT_FILE))
    yield look("checkpoints", partial(folder.pins, data / PINS_FILE, data / AUDIT_FILE))
    yield look("data subjects", partial(folder.database, data / SUBJECTS_FILE))
    yield look("artifact store", partial(folder.artifacts, data / ARTIFACTS, runs=runs))
    yield look("backup", partial(_backup, data, environment))


def _of_doors(data: Path, settings: Settings) -> Iterator[Finding]:
    runs = folder.runs(data / LOCK_FILE)
    doors: Mapping[str, tuple[str, int | None]] = {
        "port": (settings.host, settings.port),
        "grpc_port": (settings.grpc_host, settings.grpc_port),
        "operations_port": (settings.operations_host, settings.operations_port),
        "sites_port": (
            settings.sites_host,
            None if settings.federation == "off" else settings.sites_port,
        ),
    }
    for setting, (host, number) in doors.items():
        if number is not None:
            look_at = partial(machine.port, setting, host, number, runs=runs)
            yield look(setting.replace("_", " "), look_at)
    name = urlsplit(settings.public_url).hostname
    if settings.tls_certificate is not None:
        paths = settings.tls_certificate, settings.tls_key
        yield look("certificate", partial(machine.certificate, *paths, name))
    if settings.sites_certificate is not None:
        paths = settings.sites_certificate, settings.sites_key
        yield look("sites' certificate", partial(machine.certificate, *paths, None))
    if runs:
        yield look("gateway", partial(machine.readiness, settings))
        yield look("policy sets", partial(machine.policy_sets, settings))


def _keystore(data: Path, settings: Settings, environment: Environment) -> str:
    LocalKeyStore.open(data / KEYSTORE, unlock_of(settings), environment.random_bytes)
    return "it opens"


def _backup(data: Path, environment: Environment) -> str:
    found = newest.read(data)
    advice = f"sealgate backup --data {data} --to FOLDER, daily: see docs/operations/backup.md"
    if found is None:
        raise Ill("no backup was made", advice, "warning")
    hours = (environment.clock() - found.at) / 3600
    if hours > BACKUP_HOURS:
        raise Ill(f"the newest backup is {hours / 24:.0f} days old", advice, "warning")
    return f"the newest is {max(0.0, hours):.0f} hours old"


def _postgresql(settings: Settings) -> str:
    open_database(settings.control_url).close()
    return "it answers"


def _sandbox() -> str:
    limits = Limits(
        memory_bytes=1 << 30, cpu_seconds=10, wall_seconds=_SECONDS, output_bytes=1 << 16
    )
    done = run_sandboxed("gateway.artifacts.sandbox_probe", {}, {}, limits=limits)
    if not done.network_isolated:
        raise Ill(
            "jobs have the machine's network: the kernel gives no namespaces",
            "allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1",
            "warning",
        )
    return "jobs have no network and no files"


def _engines(kind: EngineKind, environment: Environment) -> str:
    server = environment.engines(kind)
    room = Room(1, 1 << 30, Bounds(), _SECONDS)
    engines = Engines({kind.name: server}, room, lambda *_: None)
    try:
        engines.start()
        return f"onnxruntime {server.runtime}"
    finally:
        engines.close()
