"""One look at one thing, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gateway.errors import SealgateError

State: TypeAlias = Literal["ok", "warning", "fault", "skipped"]

GRAVE: Final = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found.

    Attributes:
        check: What was looked at.
        state: `warning`: it works, but not for long, or not well; `skipped`: it could not be
            looked at, for a reason that is told elsewhere.
        what: What was found: lowercase, no full stop.
        next: One step that helps; empty when none is needed.
    """

    check: str
    state: State
    what: str
    next: str = ""


class Ill(Exception):
    """Something is wrong.

    Args:
        what: What it is.
        next: What helps.
        state: How bad it is.
    """

    def __init__(self, what: str, next: str, state: State = "fault") -> None:
        super().__init__(what)
        self.what, self.next, self.state = what, next, state


def look(check: str, at: Callable[[], str], remedy: str = "") -> Finding:
    """Look at one thing.

    Args:
        check: Its name.
        at: Returns what is well about it, or raises.
        remedy: What helps against an error that says none itself.
    """
    try:
        return Finding(check, "ok", at())
    except Ill as ill:
        return Finding(check, ill.state, ill.what, ill.next)
    except SealgateError as error:
        return Finding(check, "fault", error.public, getattr(error, "advice", "") or remedy)
    except Exception as error:
        return Finding(check, "fault", f"it cannot be looked at ({type(error).__name__})", remedy)
