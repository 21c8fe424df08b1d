"""The issuers that are trusted, and their keys.

1. An issuer that has no trust entry has no keys: nothing is fetched because a token asks for it.
2. Keys come over https from the configured address, or from one that the issuer's discovery
   document names (`gateway.identity.discovery`). Redirects are not followed and a body is cut off
   at a bound (`gateway.identity.fetching`).
3. One fetch at a time for an issuer: everyone else waits for it.
4. An unknown `kid` causes a fetch, but not more than one in a cool-down: a flood of invented ids
   costs one request.
5. When the issuer cannot be reached, its keys are used until they are too old; then nothing of that
   issuer is accepted.
6. A key that the issuer withdraws is gone with the next fetch, and an issuer that is no longer
   trusted at once; `generation` tells whoever remembers verified tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from gateway.client.certificates import FILE, certificate_fault
from gateway.errors import ConfigurationError
from gateway.identity.discovery import Fetch, discover
from gateway.identity.errors import InvalidToken, IssuerUnavailable, KeyRefused
from gateway.identity.key_admission import TrustedKey
from gateway.identity.key_sets import NO_KEYS, KeySet, read_key_set
from gateway.identity.opaque_tokens import Introspection
from gateway.identity.trust import IssuerTrust
from gateway.strict_json import strict_json

FRESH_SECONDS: Final = 300.0
"""Keys younger than this are used without asking: providers announce keys hours ahead."""
COOL_DOWN_SECONDS: Final = 10.0
"""Least time between two fetches of one issuer's keys."""
STALE_SECONDS: Final = 3600.0
"""Keys older than this are not used: an hour bridges an outage, not a withdrawal."""
FETCH_SECONDS: Final = 3.0
"""Longest wait for an issuer."""


class KeySource(Protocol):
    """The keys of one issuer."""

    @property
    def generation(self) -> int:
        """A number that changes whenever a key has been withdrawn."""
        ...

    async def key(self, kid: str | None) -> TrustedKey | None:
        """Return the key of that id, or None when the issuer has none.

        Raises:
            IssuerUnavailable: The keys cannot be had, or are too old.
        """
        ...


class FetchedKeys:
    """Keys that the issuer publishes, kept as this module's docstring promises.

    Args:
        trust: The entry of the issuer.
        fetch: Reads a URL, see `gateway.identity.fetching`.
        monotonic: Seconds of a clock that is never set back.
    """

    def __init__(self, trust: IssuerTrust, fetch: Fetch, monotonic: Callable[[], float]) -> None:
        self._trust = trust
        self._fetch = fetch
        self._now = monotonic
        self._keys: KeySet = NO_KEYS
        self._fetched: float | None = None
        self._tried: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self.generation = 0
        self.fetches = 0
        self.failures = 0

    async def key(self, kid: str | None) -> TrustedKey | None:
        """Return the key of that id, fetching when that is due and allowed."""
        if not self._within(self._fetched, FRESH_SECONDS):
            await self._refresh()
        if self._keys.find(kid) is None:
            await self._refresh()
        if not self._within(self._fetched, STALE_SECONDS):
            tried = self._now() if self._tried is None else self._tried
            raise IssuerUnavailable().again_in(tried + COOL_DOWN_SECONDS - self._now())
        return self._keys.find(kid)

    @property
    def age(self) -> float | None:
        """Seconds since the keys were fetched; None before they were."""
        return None if self._fetched is None else self._now() - self._fetched

    def _within(self, since: float | None, seconds: float) -> bool:
        return since is not None and self._now() - since < seconds

    async def _refresh(self) -> None:
        if self._flight is None:
            if self._within(self._tried, COOL_DOWN_SECONDS):
                return
            self._tried = self._now()
            self._flight = asyncio.create_task(self._load())
        # Shielded: a caller who hangs up must not cancel the fetch that others wait for.
        await asyncio.shield(self._flight)

    async def _load(self) -> None:
        self.fetches += 1
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                document = await self._fetch(await self._address())
            self._replace(read_key_set(strict_json(document), self._trust.algorithms))
        except (IssuerUnavailable, KeyRefused, ValueError, TimeoutError) as fault:
            self.failures += 1
            refused = certificate_fault(fault)
            structlog.get_logger().warning(
                "issuer_keys_unavailable",
                issuer=self._trust.issuer,
                reason=type(refused or fault).__name__,
                why=getattr(fault, "public", None),
                next=f"name its authority in {FILE}" if refused else None,
            )
        finally:
            self._flight = None

    def _replace(self, keys: KeySet) -> None:
        withdrawn = not self._keys.members <= keys.members
        self._keys, self._fetched = keys, self._now()
        self.generation += withdrawn

    async def _address(self) -> str:
        if self._trust.jwks_uri is not None:
            return self._trust.jwks_uri
        return (await discover(self._trust, self._fetch)).jwks_uri


class Issuers:
    """Every issuer whose tokens are accepted, each with its keys.

    Args:
        own: The trust entry of the embedded authorization server.
        own_keys: Its keys.
        foreign: The trust entries of other issuers.
        fetch: Reads a URL, see `gateway.identity.fetching`.
        monotonic: Seconds of a clock that is never set back.
        asking: Makes what asks an issuer about opaque tokens, if one may be asked.

    Attributes:
        own: As given.
        opaque: What asks about opaque tokens, or None where they are refused.

    Raises:
        ConfigurationError: Two entries name the same issuer.
    """

    def __init__(
        self,
        own: IssuerTrust,
        own_keys: KeySource,
        foreign: Iterable[IssuerTrust] = (),
        *,
        fetch: Fetch,
        monotonic: Callable[[], float],
        asking: Callable[[IssuerTrust], Introspection] | None = None,
    ) -> None:
        self.own = own
        self._fetch, self._monotonic, self._asking = fetch, monotonic, asking
        self.opaque: Introspection | None = None
        self._entries: dict[str, tuple[IssuerTrust, KeySource]] = {own.issuer: (own, own_keys)}
        self._sources: tuple[KeySource, ...] = ()
        self._before = 0
        self.replace(foreign)

    def replace(self, foreign: Iterable[IssuerTrust]) -> None:
        """Trust these issuers beside our own and no others, from now on.

        What was verified before is verified again; keys of an entry that stays are kept.

        Raises:
            ConfigurationError: Two entries name the same issuer, or one is unsafe; nothing changed.
        """
        entries = {self.own.issuer: self._entries[self.own.issuer]}
        for trust in foreign:
            if trust.issuer in entries:
                raise ConfigurationError("an issuer is trusted twice")
            known = self._entries.get(trust.issuer)
            stays = known is not None and known[0] == trust
            keys = known[1] if known and stays else FetchedKeys(trust, self._fetch, self._monotonic)
            entries[trust.issuer] = (trust, keys)
        opaque = self._opaque_of([trust for trust, _ in entries.values()])
        sources = tuple(source for _, source in entries.values())
        before = self.generation + 1 - sum(source.generation for source in sources)
        self._entries, self._sources, self._before = entries, sources, before
        self.opaque = opaque

    def _opaque_of(self, entries: list[IssuerTrust]) -> Introspection | None:
        asked = [trust for trust in entries if trust.introspection is not None]
        if not asked:
            return None
        if len(asked) > 1 or self._asking is None:
            # An opaque token does not say whose it is, and no issuer may see another one's.
            raise ConfigurationError("one trusted issuer at most may have `introspection`")
        known = self.opaque
        return known if known is not None and known.of(asked[0]) else self._asking(asked[0])

    @property
    def foreign(self) -> tuple[tuple[IssuerTrust, FetchedKeys], ...]:
        """The entries of other issuers, each with its keys."""
        return tuple(
            (trust, keys) for trust, keys in self._entries.values() if isinstance(keys, FetchedKeys)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The `iss` of every entry, our own first."""
        return tuple(self._entries)

    @property
    def generation(self) -> int:
        """Changes whenever any issuer has withdrawn a key, and when others are trusted."""
        return self._before + sum(source.generation for source in self._sources)

    def trust(self, issuer: str) -> IssuerTrust:
        """Return the trust entry of an issuer.

        Raises:
            InvalidToken: It has none.
        """
        if issuer not in self._entries:
            raise InvalidToken(rule="issuer", why="its `iss` is of no issuer that is trusted")
        return self._entries[issuer][0]

    async def key(self, issuer: str, kid: str | None) -> TrustedKey:
        """Return the key of a trusted issuer.

        Raises:
            InvalidToken: The issuer has no key of that id.
            IssuerUnavailable: Its keys cannot be had.
        """
        self.trust(issuer)
        key = await self._entries[issuer][1].key(kid)
        if key is None:
            raise InvalidToken(
                rule="signature",
                why="the issuer publishes no usable key of that `kid`",
                advice="sealgate issuer check tells which of its keys are left out, and why",
            )
        return key
