"""Opaque tokens: the issuer is asked what they are (RFC 7662), as a client of its own.

1. An answer counts for no longer than the entry's `seconds`, counted from before it was asked for,
   and never past the token's end: so long a token that was revoked there is accepted here.
2. One question at a time for a token; everyone else waits for it. That a token is not active is
   remembered, too, in room of its own. Questions under way, and those in a second, are bounded:
   beyond them, and while the issuer fails, nothing is accepted and nothing is asked.
3. The answer must name what a signed token would (`gateway.identity.token_rules`) and say that it
   is an access token: a refresh token is active, too.
4. The token goes to the configured address, or to the issuer's own origin, and nowhere else;
   a redirect is not followed. Tokens are remembered by their SHA-256 only.
5. What is not active, not understood or not answered is refused.
6. A token of which the issuer does not say when it was issued counts as old as it can be.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote_plus

import structlog

from gateway.identity.discovery import Fetch, discover
from gateway.identity.errors import InvalidToken, IssuerUnavailable, SignatureRefused
from gateway.identity.signed import numeric_date
from gateway.identity.tokens import AccessClaims, read_told
from gateway.identity.trust import IntrospectionTrust, IssuerTrust
from gateway.strict_json import strict_json

ASK_SECONDS: Final = 3.0
"""Longest wait for an answer."""
ASKING: Final = 32
"""Questions under way: more would only wait at the issuer."""
ASKS_A_SECOND: Final = 100
"""Questions in a second: strangers who invent tokens cost the issuer no more than that."""
REST_SECONDS: Final = 5.0
"""Nothing is asked for so long after the issuer failed."""
NEGATIVE_SECONDS: Final = 10.0
"""That a token is not active is remembered for so long: it does not become so by itself."""
NEGATIVES: Final = 10_000
"""Tokens that are not active, remembered at a time: about a megabyte."""
MAX_SECRET: Final = 4096
"""Bytes of a client secret: products make them of under 100."""
_OPAQUE: Final = re.compile(rb"[A-Za-z0-9._~+/-]{8,4096}=*")
"""RFC 6750 section 2.1; shorter ones could be guessed."""

Post = Callable[[str, bytes, bytes], Awaitable[tuple[int, bytes]]]
"""Sends a form with an `Authorization`; returns status and body (`gateway.identity.fetching`)."""


@dataclass(slots=True)
class IntrospectionCounters:
    """What became of questions since the start.

    Attributes:
        active: Answered: active.
        inactive: Answered: not active.
        failed: Not answered.
        held_back: Not asked: too many, or the issuer had failed.
        remembered: Not asked: known not to be active.
    """

    active: int = 0
    inactive: int = 0
    failed: int = 0
    held_back: int = 0
    remembered: int = 0


def looks_signed(token: bytes) -> bool:
    """Tell whether a token is of the form of a signed one, which is never sent anywhere."""
    return token.startswith(b"ey") and token.count(b".") == 2


class Introspection:
    """Asks one issuer about opaque tokens.

    Args:
        trust: Its entry, which has `introspection`.
        fetch: Reads a URL.
        post: Sends a form.
        clock: Unix seconds.
        monotonic: Seconds of a clock that is never set back.

    Attributes:
        trust: The entry, with the names that RFC 7662 has for what its maker's tokens say.
        counters: For metrics.
    """

    def __init__(
        self,
        trust: IssuerTrust,
        fetch: Fetch,
        post: Post,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        assert trust.introspection is not None
        self._entry = trust
        self.settings: IntrospectionTrust = trust.introspection
        self.trust = _told_by(trust)
        self._fetch, self._post = fetch, post
        self._clock, self._now = clock, monotonic
        self._endpoint = self.settings.endpoint
        self._flights: dict[bytes, asyncio.Task[Mapping[str, Any] | None]] = {}
        self._inactive: dict[bytes, float] = {}
        self._rests_until = float("-inf")
        self._second, self._asked = 0, 0
        self.counters = IntrospectionCounters()

    def of(self, trust: IssuerTrust) -> bool:
        """Tell whether it asks by this entry."""
        return trust == self._entry

    async def ask(self, token: bytes) -> AccessClaims:
        """Return what the issuer says of a token.

        Raises:
            InvalidToken: It is not active, or breaks a rule.
            IssuerUnavailable: The issuer cannot be asked right now.
        """
        return read_told(await self.claims(token), self.trust, self._clock(), token)

    async def claims(self, token: bytes) -> Mapping[str, Any]:
        """Return the claims of an active token, before any rule is applied to them.

        Raises:
            InvalidToken: It is not active, or no access token.
            IssuerUnavailable: The issuer cannot be asked right now.
        """
        if not _OPAQUE.fullmatch(token):
            raise InvalidToken(rule="form", why="it is neither a signed token nor an opaque one")
        digest = hashlib.sha256(token).digest()
        if self._now() < self._inactive.get(digest, float("-inf")):
            self.counters.remembered += 1
            raise _inactive()
        flight = self._flights.get(digest)
        if flight is None:
            self._hold_back()
            flight = self._flights[digest] = asyncio.create_task(self._answer(token, digest))
            flight.add_done_callback(_seen)
        # Shielded: a caller who hangs up must not cancel what others wait for.
        told = await asyncio.shield(flight)
        if told is None:
            raise _inactive()
        _check_kind(told)
        return {"iss": self.trust.issuer, "iat": self._oldest(told), **told}

    def _oldest(self, told: Mapping[str, Any]) -> int:
        """Return when a token was issued at the earliest, for an answer that does not say it.

        Later would be a guess in its favour: it may be of before its client was shut out, and who
        has it may have authenticated as long ago as a token lives.
        """
        now, expires = int(self._clock()), told.get("exp")
        try:
            return max(0, min(now, numeric_date(expires) - self.trust.max_token_seconds))
        except SignatureRefused:
            return now  # it is refused for its `exp`

    def _hold_back(self) -> None:
        now = self._now()
        if int(now) != self._second:
            self._second, self._asked = int(now), 0
        if now < self._rests_until or len(self._flights) >= ASKING or self._asked >= ASKS_A_SECOND:
            self.counters.held_back += 1
            raise IssuerUnavailable().again_in(max(1.0, self._rests_until - now))
        self._asked += 1

    async def _answer(self, token: bytes, digest: bytes) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                told = await self._told(token)
        except (IssuerUnavailable, ValueError, OSError, TimeoutError) as fault:
            self._failed(fault)
            raise IssuerUnavailable().again_in(REST_SECONDS) from fault
        finally:
            del self._flights[digest]
        if told is not None:
            self.counters.active += 1
            return told
        self.counters.inactive += 1
        self._inactive[digest] = self._now() + min(NEGATIVE_SECONDS, self.settings.seconds)
        if len(self._inactive) > NEGATIVES:
            del self._inactive[next(iter(self._inactive))]
        return None

    def _failed(self, fault: BaseException) -> None:
        self.counters.failed += 1
        # A token for which the issuer answers oddly costs itself; else strangers could stop us.
        if not isinstance(fault, _Odd):
            self._rests_until = self._now() + REST_SECONDS
        structlog.get_logger().warning(
            "issuer_not_asked",
            issuer=self.trust.name,
            reason=type(fault).__name__,
            why=getattr(fault, "public", None),
        )

    async def _told(self, token: bytes) -> Mapping[str, Any] | None:
        if self._endpoint is None:
            self._endpoint = (await discover(self.trust, self._fetch)).introspection_endpoint
        if self._endpoint is None:
            raise IssuerUnavailable("the issuer names no endpoint of its own for introspection")
        form = b"token_type_hint=access_token&token=" + quote_plus(token).encode()
        secret = await asyncio.to_thread(_secret, self.settings)
        status, body = await self._post(self._endpoint, form, secret)
        if status in {400, 404, 422}:
            raise _Odd("the issuer does not answer about this token")
        if status != 200:
            raise IssuerUnavailable("the issuer refuses to answer the gateway")
        told = strict_json(body)
        active = told.get("active") if isinstance(told, dict) else None
        if not isinstance(active, bool):
            raise _Odd("the issuer's answer does not say whether the token is active")
        return told if active else None


def _seen(flight: asyncio.Task[Mapping[str, Any] | None]) -> None:
    """Look at a fault, whose caller may have hung up."""
    if not flight.cancelled():
        flight.exception()


class _Odd(IssuerUnavailable):
    """One token is answered oddly."""


def _inactive() -> InvalidToken:
    return InvalidToken(rule="active", why="the issuer says that it is not active")


def _told_by(trust: IssuerTrust) -> IssuerTrust:
    """Add the names of RFC 7662 section 2.2 to those of the maker's tokens."""
    profile = trust.profile
    told = replace(
        profile,
        client=("client_id", *profile.client),
        subject=(*profile.subject, "sub"),
        scopes=("scope", *profile.scopes),
        needs_token_id=False,
    )
    return replace(trust, profile=told)


def _check_kind(told: Mapping[str, Any]) -> None:
    kind = told.get("token_type")
    if not isinstance(kind, str) or kind.lower() not in {"bearer", "dpop", "access_token"}:
        raise InvalidToken(
            rule="use",
            why="`token_type` of the answer does not say that it is an access token",
            advice="have the issuer tell `token_type` in answers of introspection",
        )
    if kind.lower() == "dpop" and "cnf" not in told:
        raise InvalidToken(rule="binding", why="it is bound by DPoP, and no `cnf` says to what")


def _secret(settings: IntrospectionTrust) -> bytes:
    """Return the `Authorization` of the gateway at the issuer (RFC 6749 section 2.3.1)."""
    with settings.secret_file.open("rb") as file:
        secret = file.read(MAX_SECRET + 1).strip()
    if not 1 <= len(secret) <= MAX_SECRET:
        raise IssuerUnavailable("`secret_file` of an issuer is empty or too long")
    pair = quote_plus(settings.client_id), quote_plus(secret)
    return b"Basic " + base64.b64encode(":".join(pair).encode())
