"""Why tokens of foreign issuers were refused: for the operator, never for the caller.

1. A line of the log names issuer, rule and remedy, and repeats nothing of the token.
2. There is one line for each issuer and rule in `TELL_SECONDS`, with how many there were: nobody
   fills the log by sending what is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from gateway.identity.errors import InvalidToken
from gateway.identity.trust import IssuerTrust

TELL_SECONDS: Final = 30.0
"""From one line of an issuer and rule to the next."""
NOBODY: Final = "none"
"""Stands for an issuer that is not trusted; its name is the caller's text."""
_UNKNOWN: Final = "if it is one of yours, its `issuer` must be exactly the `iss` of its tokens"


class ForeignRefusals:
    """Counts and tells.

    Args:
        clock: Seconds.

    Attributes:
        counts: Refusals since the start, by issuer and rule.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, trust: IssuerTrust | None, refusal: InvalidToken) -> None:
        """Count a refusal, and tell it unless one like it was told a moment ago."""
        key = NOBODY if trust is None else trust.name or trust.issuer, refusal.rule or "form"
        self.counts[key] += 1
        now, (last, before) = self._clock(), self._told.get(key, (None, 0))
        if last is not None and 0 <= now - last < TELL_SECONDS:
            return
        self._told[key] = now, self.counts[key]
        structlog.get_logger().warning(
            "token_refused",
            issuer=key[0],
            rule=key[1],
            why=refusal.why or "it is no well-formed signed token",
            next=refusal.advice or (f"sealgate issuer check {key[0]}" if trust else _UNKNOWN),
            count=self.counts[key] - before,
        )
