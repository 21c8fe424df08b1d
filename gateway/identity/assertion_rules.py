"""What a client's assertion must say to be accepted (RFC 7523 section 3). Pure.

Two profiles; which one holds is a setting, and the metadata and each refusal say it.

1. `rfc7523`: the audience is our issuer or one of our own OAuth endpoints, which RFC 7523 section 3
   names as an audience ("may be used"), as one string or in a list. Every entry of a list has to be
   ours: another server that is named beside us could present the assertion here.
2. `fapi2`: the audience is our issuer, as one string (FAPI 2.0 Security Profile, section 5.3.2.1):
   an assertion that was made for whatever address somebody named is worth nothing.
3. Either way `iss` is `sub`, `exp` is there and within a bound, and `jti` is there: it counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.identity.client_keys import CLIENT_ALGORITHMS
from gateway.identity.errors import SignatureRefused
from gateway.identity.key_admission import DEFAULT_ALGORITHMS
from gateway.identity.signed import numeric_date, short_text

Profile = Literal["rfc7523", "fapi2"]
DEFAULT_PROFILE: Final[Profile] = "rfc7523"

SHORT_SECONDS: Final = 300
"""Longest lifetime under `fapi2`: an assertion is made for one request."""
LONG_SECONDS: Final = 3600
"""Longest lifetime under `rfc7523`: Authlib makes them for an hour, most others for minutes."""
AHEAD_SECONDS: Final = 10
"""How far ahead a client's clock may be (FAPI 2.0 Security Profile, section 5.3.2.1)."""
MAX_AUDIENCES: Final = 8
"""Entries of `aud`: we have fewer addresses that it can name."""
ENDPOINTS: Final = (
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/oauth/par",
    "/oauth/device",
)
"""Paths of what a client authenticates at: libraries name the one that they call."""


@dataclass(frozen=True, slots=True)
class AssertionRules:
    """What holds for assertions under one profile.

    Attributes:
        profile: Its name.
        algorithms: What they may be signed with.
        audiences: What `aud` may name.
        listed: Whether `aud` may be a list.
        seconds: How long one may live from now on.
    """

    profile: Profile
    algorithms: Set[str]
    audiences: frozenset[str]
    listed: bool
    seconds: int

    def check(self, claims: Mapping[str, Any], now: float) -> None:
        """Check what a verified assertion says.

        Raises:
            SignatureRefused: It must not be accepted.
        """
        if claims.get("iss") != claims.get("sub") or not self._is_for_us(claims.get("aud")):
            raise SignatureRefused
        expires = numeric_date(claims.get("exp"))
        starts = max(numeric_date(claims.get(name, 0)) for name in ("iat", "nbf"))
        if not now < expires <= now + self.seconds + AHEAD_SECONDS or starts > now + AHEAD_SECONDS:
            raise SignatureRefused
        short_text(claims.get("jti"))  # how long it is, is the client's matter: it counts once

    @property
    def advice(self) -> str:
        """What a refused client is told; the same whatever was wrong."""
        audience = "this issuer, as one string" if not self.listed else (
            "this issuer or the token endpoint"
        )  # fmt: skip
        return (
            f"client authentication failed: under the profile {self.profile} an assertion has aud "
            f"{audience}, a jti that was not used, ends within {self.seconds} s and is signed with "
            f"a registered key by {', '.join(sorted(self.algorithms))}"
        )

    def _is_for_us(self, audience: object) -> bool:
        if isinstance(audience, str):
            return audience in self.audiences
        if not self.listed or not isinstance(audience, list):
            return False
        if not 1 <= len(audience) <= MAX_AUDIENCES:
            return False
        return all(isinstance(one, str) and one in self.audiences for one in audience)


def rules_of(profile: Profile, issuer: str) -> AssertionRules:
    """Return the rules of a profile.

    Args:
        profile: Its name.
        issuer: Our issuer.
    """
    if profile == "fapi2":
        only = frozenset({issuer})
        return AssertionRules(profile, DEFAULT_ALGORITHMS | {"EdDSA"}, only, False, SHORT_SECONDS)
    # An empty path is `/` (RFC 3986 section 6.2.3): libraries that parse an issuer print it so.
    ours = frozenset({issuer, issuer + "/", *(issuer + path for path in ENDPOINTS)})
    return AssertionRules(profile, CLIENT_ALGORITHMS, ours, True, LONG_SECONDS)
