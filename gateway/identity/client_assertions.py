"""`private_key_jwt`: a client proves who it is with a signature (RFC 7523 section 2.2).

1. Only what `gateway.identity.assertion_rules` allows is accepted, under the profile in force.
2. An assertion counts once. Its `jti` is recorded only after its signature held, for as long as it
   could be accepted: those that live long are remembered apart, so that they cannot use up the room
   of those that do not. Which of the two it is follows from the assertion alone.
3. As many signatures are verified for a client that does not exist as for one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.identity.assertion_rules import AHEAD_SECONDS, SHORT_SECONDS, AssertionRules
from gateway.identity.client_keys import ClientKeys, Keys, key_named
from gateway.identity.errors import SignatureRefused
from gateway.identity.replay import ReplayCache
from gateway.identity.signed import Unverified, numeric_date, parse, short_text, verify

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
UNNAMED: Final = 2
"""Keys that are tried where an assertion names none: the one in force and the one before it."""

_TYPES: Final = frozenset({"", "jwt", "client-authentication+jwt"})


class Assertions:
    """Reads and verifies the assertions of clients.

    Args:
        rules: Of the profile in force.
        clock: Unix seconds.
    """

    def __init__(self, rules: AssertionRules, clock: Callable[[], float]) -> None:
        self.rules = rules
        self.keys = ClientKeys(rules.algorithms)
        self._clock = clock
        self._short = ReplayCache(SHORT_SECONDS + AHEAD_SECONDS, clock)
        self._long = ReplayCache(rules.seconds + AHEAD_SECONDS, clock)

    def read(self, form: Mapping[str, str]) -> tuple[str, Unverified]:
        """Return whom an assertion names, which nobody has verified yet, and the assertion.

        Raises:
            SignatureRefused: There is none, or none that is well-formed.
        """
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise SignatureRefused
        unverified = parse(form.get("client_assertion", "").encode("utf-8", "replace"), _TYPES)
        return short_text(unverified.claims.get("sub")), unverified

    def verify(self, keys: Keys, unverified: Unverified) -> None:
        """Verify an assertion with the key that it names; one that names none with two in turn.

        Args:
            keys: Of the client, as `ClientKeys.of` returns them.
            unverified: From `read`.

        Raises:
            SignatureRefused: No key of the client has signed it, or it says what it must not.
        """
        named = unverified.header.get("kid") is not None
        found = [key for key in (key_named(one, unverified) for one in keys) if key is not None]
        wanted = 1 if named else UNNAMED
        fits = False
        for key in [*found[:wanted], *[None] * wanted][:wanted]:
            try:
                claims = verify(unverified, key or self.keys.stand_in(unverified))
            except SignatureRefused:
                continue
            self.rules.check(claims, self._clock())
            fits = fits or key is not None
        if not fits:
            raise SignatureRefused

    def first(self, client_id: str, unverified: Unverified) -> bool:
        """Use a verified assertion up; tell whether this was the first time."""
        claims: Mapping[str, Any] = unverified.claims
        lives = numeric_date(claims["exp"]) - numeric_date(claims.get("iat", 0))
        cache = self._short if lives <= SHORT_SECONDS else self._long
        return cache.first(client_id, str(claims["jti"]))
