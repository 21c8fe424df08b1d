"""Preparing policy sets in this very process: for texts of our own, and for tools and tests.

A text of somebody else may want minutes with the interpreter's lock held; it is prepared in another
process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from policies.compiled import Prepared, prepare
from policies.cost import STORED
from policies.errors import PolicySetInvalid
from policies.examination import examine
from policies.standing import Standing

REMEMBERED: Final = 64
"""Texts that many tenants share, such as the starter set, are looked at once."""


class PreparingHere:
    """`policies.ports.Preparing`, without its bounds on time and memory.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def prepare(
        self, tenant: str, text: str, standing: Standing | None = None, current: str | None = None
    ) -> Prepared:
        """See the port; all tenants are alike here."""
        del tenant
        if standing is None:
            return _examined(text)
        return examine(text, int(self._clock()), standing, current)

    def stored(self, texts: Sequence[str]) -> Sequence[Prepared | PolicySetInvalid]:
        """See the port."""
        return [_stored(text) for text in texts]


@lru_cache(REMEMBERED)
def _examined(text: str) -> Prepared:
    return examine(text, 0)


@lru_cache(REMEMBERED)
def _stored(text: str) -> Prepared | PolicySetInvalid:
    try:
        return prepare(text, STORED)
    except PolicySetInvalid as invalid:
        return invalid
