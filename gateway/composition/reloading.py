"""SIGHUP: what a running gateway takes over from its settings, and what it says of the rest.

1. Settings that are wrong, or a certificate that cannot be used, change nothing: what is in force
   stays, and the log says what is wrong.
2. What cannot change while it runs is named, and waits for the next start.
3. Bounds of engines hold for what begins from then on: memory for engines that are started, time
   for runs. No run and no engine is ended for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.composition.identity import Identity
from gateway.composition.inference import room_of
from gateway.composition.trusted_issuers import trusted
from gateway.engine.pool import Room
from gateway.errors import ConfigurationError
from gateway.log_sink import LogSink
from gateway.process.doors import Door, ProtocolDoor, check_certificates
from gateway.request_lines import RequestLines
from gateway.settings import Settings
from gateway.telemetry import configure_logs

LIMITS: Final = frozenset({"engines_memory_bytes", "run_memory_bytes", "run_timeout_seconds"})
"""Of engines: how many kinds there are, and how large their tensors, is laid out at the start."""
RELOADABLE: Final = frozenset({"issuers", "log_file", "log_level", "log_requests"}) | LIMITS
"""Settings that are taken over; certificates are read again from where they are."""


class Reloading:
    """Reads the settings again.

    Args:
        settings: Those in force.
        read: Returns those of now.
        doors: Whose certificates are read again.
        identity: Trusts the issuers.
        limit: Takes over the bounds of engines.
        sink: Where the log goes; its file is opened anew, as it may have been moved away.
        lines: Lines of requests.
        set_log_level: Takes over a log level.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        doors: Sequence[Door | ProtocolDoor],
        identity: Identity,
        limit: Callable[[Room], None],
        sink: LogSink,
        lines: RequestLines,
        set_log_level: Callable[[str, LogSink], None] = configure_logs,
    ) -> None:
        self._settings = settings
        self._read = read
        self._doors = doors
        self._identity = identity
        self._limit = limit
        self._sink = sink
        self._lines = lines
        self._set_log_level = set_log_level

    def __call__(self) -> bool:
        """Take over what may change; tells whether all of it is well."""
        log = structlog.get_logger()
        try:
            fresh = self._read()
            check_certificates(self._doors)
            with self._sink.moving(fresh.log_file):
                self._identity.issuers.replace(trusted(fresh))
        except ConfigurationError as fault:
            log.error("reload_refused", reason=fault.public, next=fault.advice or None)
            return False
        names = type(fresh).model_fields
        changed = {each for each in names if getattr(fresh, each) != getattr(self._settings, each)}
        if "log_level" in changed:
            self._set_log_level(fresh.log_level, self._sink)
        self._lines.set(fresh.log_level, fresh.log_requests)
        taken = {name: getattr(fresh, name) for name in changed & RELOADABLE}
        self._settings = self._settings.model_copy(update=taken)
        if changed & LIMITS:
            self._limit(room_of(self._settings))
        log.info(
            "reloaded",
            changed=sorted(taken),
            needs_restart=sorted(changed - RELOADABLE),
            certificates=[door.name for door in self._doors if door.certificate is not None],
        )
        return True
