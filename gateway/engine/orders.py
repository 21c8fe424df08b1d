"""What a gateway tells a fork server, and what it hears of it: messages of fixed layout. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

UP, STARTED, ENDED, FAULT = range(4)
_ORDER: Final = struct.Struct("<IQQQQQi?")
_REPORT: Final = struct.Struct("<IIi")
MAX_REPORT: Final = 4096
LOST: Final = 1 << 16
"""Beyond every exit code: the engine ended with its fork server, whatever it was doing."""


@dataclass(frozen=True, slots=True)
class Order:
    """Start an engine. Four descriptors go with it: model, region, bell in, bell out.

    Attributes:
        engine: Number that reports repeat.
        model_bytes, region_bytes: Lengths of the two memory files.
        specification_bytes: Length of the JSON that lies in the region where tensors go in.
        output_at: Where the tensors that come out begin.
        memory_bytes: What the engine may take beyond the runtime.
        nice: Added to its niceness.
        wide: Whether it is confined less, for another provider than the plain one.
    """

    engine: int
    model_bytes: int
    region_bytes: int
    specification_bytes: int
    output_at: int
    memory_bytes: int
    nice: int = 0
    wide: bool = False

    def encode(self) -> bytes:
        """Return the message."""
        return _ORDER.pack(
            self.engine,
            self.model_bytes,
            self.region_bytes,
            self.specification_bytes,
            self.output_at,
            self.memory_bytes,
            self.nice,
            self.wide,
        )

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read the message.

        Raises:
            struct.error: It is none.
        """
        return cls(*_ORDER.unpack(message))


def report(kind: int, engine: int, value: int, text: str = "") -> bytes:
    """Write a report: kind, engine, a process id or an exit status, and a text for the log."""
    return _REPORT.pack(kind, engine, value) + text.encode()


def read_report(message: bytes) -> tuple[int, int, int, str]:
    """Read a report.

    Raises:
        struct.error: It is none.
    """
    kind, engine, value = _REPORT.unpack_from(message)
    return kind, engine, value, message[_REPORT.size :].decode(errors="replace")
