"""Logs of processes that run by themselves: one JSON object a line, on standard error."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Let structlog write JSON lines with level and UTC time."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
