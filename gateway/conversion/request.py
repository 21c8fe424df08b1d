"""What is asked of a conversion, and what it says. Pure: the command line reads it, too."""

from __future__ import annotations

from typing import Final

import msgspec

TOLERANCE: Final = 1e-4
"""Absolute, and relative to the value: models compute in float32, which holds seven digits."""
STAGES: Final = ("load", "convert", "tidy", "compare")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to convert.

    Attributes:
        file: The owner's model.
        out: Where the ONNX goes; there is no such file yet.
        sample: npz or csv of rows to compare on; None: rows are made.
        trusted: Whether the file may be unpickled, which runs what is in it.
        tolerance: How far numbers may be apart: absolute, and relative to the value.
        differing: Share of the rows that may differ by more, 0 to 1.
    """

    file: str
    out: str
    sample: str | None = None
    trusted: bool = False
    tolerance: float = TOLERANCE
    differing: float = 0.0


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One output beside what the model itself says.

    Attributes:
        output: Its name.
        rows: How many were compared.
        differing: How many of them differ by more than the tolerance, or at all for labels.
        largest: The largest difference of two numbers; 0 for labels.
    """

    output: str
    rows: int
    differing: int
    largest: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        read: What the file held, and which library made it.
        changes: What was changed, one sentence each.
        sample: Which rows were compared.
        compared: By output.
        not_compared: Outputs that the model itself does not give, or could not be asked for.
        warnings: What the libraries said.
    """

    read: str
    changes: tuple[str, ...] = ()
    sample: str = ""
    compared: tuple[Compared, ...] = ()
    not_compared: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Stuck(Exception):
    """The conversion cannot go on.

    Args:
        reason: A stable word, for machines.
        what: What is wrong: lowercase, no full stop.
        remedy: What to do about it.
    """

    def __init__(self, reason: str, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what
        self.remedy = remedy


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the converting process: a stage that begins, the report, or why it is stuck."""

    stage: str = ""
    report: Report | None = None
    reason: str = ""
    what: str = ""
    remedy: str = ""
