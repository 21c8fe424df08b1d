"""What operators are told about faults of the audit log: each fault once, until it is over."""

from __future__ import annotations

from traceback import extract_tb

import structlog


class FaultLog:
    """Writes faults to the operators' log. Used by the writer thread only."""

    def __init__(self) -> None:
        self._lasting: set[str] = set()

    def begin(self, name: str, fault: Exception) -> None:
        """Tell of a fault, unless the same one was told and is not over."""
        if name in self._lasting:
            return
        self._lasting.add(name)
        # Kind and place only: a full traceback could show events.
        cause = fault.__cause__ or fault
        kind = getattr(cause, "sqlite_errorname", type(cause).__name__)
        frames = [f"{frame.name}:{frame.lineno}" for frame in extract_tb(cause.__traceback__)]
        structlog.get_logger().error(name, fault=type(fault).__name__, cause=kind, frames=frames)

    def end(self, name: str, *, recovered: str = "") -> None:
        """Note that a fault is over, and tell so under the name `recovered` if there is one."""
        if name not in self._lasting:
            return
        self._lasting.remove(name)
        if recovered:
            structlog.get_logger().info(recovered)
