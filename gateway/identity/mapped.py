"""What claims mean, as a trust entry maps them. Pure; claims are unverified input.

Each function gives a value, or `None` or a refusal for what has not the maker's shape; none raises
anything else, whatever kinds the claims are of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.identity.errors import InvalidToken
from gateway.identity.profiles import Profile
from gateway.identity.records import SCOPES
from gateway.identity.signed import short_text
from gateway.identity.trust import IssuerTrust

MAX_SCOPES: Final = 64
"""Scopes of one token: the gateway itself knows under ten."""
MAX_ROLES: Final = 1024
"""Roles or groups of one token: Entra names up to 200 groups, a realm of Keycloak some hundred."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")


def agreed_client(claims: Mapping[str, Any], profile: Profile) -> str:
    """Return the client that a token names, as its issuer calls it.

    Raises:
        InvalidToken: It names none, or several.
        SignatureRefused: What it names is no short text.
    """
    found = [claims[name] for name in profile.client if name in claims]
    if not found:
        names = "`, `".join(profile.client)
        raise InvalidToken(why=f"it names no client (`{names}`)", advice="see `client_claim`")
    others = [claims[name] for name in profile.client_agrees if name in claims]
    if any(one != found[0] for one in (*found, *others)):
        raise InvalidToken(why="two claims name two clients")
    return short_text(found[0])


def audience_fits(claims: Mapping[str, Any], trust: IssuerTrust) -> bool:
    """Tell whether a token is for this gateway (RFC 9068 section 4)."""
    if "aud" in claims or not trust.profile.audience_in_scopes:
        return _is_audience(claims.get("aud"), trust.audience)
    words = _words(claims, trust.profile)
    return words is not None and any(word.startswith(trust.scope_prefix) for word in words)


def _is_audience(value: object, audience: str) -> bool:
    if isinstance(value, list):
        return all(isinstance(entry, str) for entry in value) and audience in value
    return isinstance(value, str) and value == audience


def granted(claims: Mapping[str, Any], trust: IssuerTrust) -> frozenset[str] | None:
    """Return the scopes of a token, as the gateway calls them; None where they cannot be read."""
    words = _words(claims, trust.profile)
    if words is None:
        return None
    if prefix := trust.scope_prefix:
        words = frozenset(w.removeprefix(prefix) for w in words if w.startswith(prefix))
    if trust.default_scopes and words.isdisjoint(SCOPES):
        return trust.default_scopes
    return words


def _words(claims: Mapping[str, Any], profile: Profile) -> frozenset[str] | None:
    name = next((name for name in profile.scopes if name in claims), None)
    if name is None:
        return frozenset()
    value = claims[name]
    words: list[object] = [None]
    if isinstance(value, list) and (name in profile.scope_lists or profile.scopes_either):
        words = value
    elif isinstance(value, str) and (name not in profile.scope_lists or profile.scopes_either):
        words = list(value.split())
    if len(words) > MAX_SCOPES or not all(
        isinstance(word, str) and _SCOPE.fullmatch(word) for word in words
    ):
        return None
    return frozenset(str(word) for word in words)


def texts_at(claims: Mapping[str, Any], path: tuple[str, ...]) -> frozenset[str] | None:
    """Return the texts of a list within claims; none where there is none, None where it is odd."""
    value: Any = claims
    for name in path:
        if not isinstance(value, Mapping):
            return None
        if name not in value:
            return frozenset()
        value = value[name]
    if not isinstance(value, list) or len(value) > MAX_ROLES:
        return None
    if not all(isinstance(entry, str) for entry in value):
        return None
    return frozenset(value)


def roles_of(claims: Mapping[str, Any], trust: IssuerTrust) -> frozenset[str] | None:
    """Return the roles here that a token's roles stand for; None where its roles do not count."""
    if not trust.role_names:
        return None
    found = texts_at(claims, trust.profile.roles) or frozenset()
    return frozenset(trust.role_names[role] for role in found if role in trust.role_names)


def level_of(claims: Mapping[str, Any], trust: IssuerTrust) -> int:
    """Return the level of the authentication: the highest that is mapped, else 0."""
    if not trust.acr_levels:
        return 0
    value = claims.get(trust.profile.acr)
    values = value if isinstance(value, list) else [value]
    return max((trust.acr_levels.get(one, 0) for one in values if isinstance(one, str)), default=0)


def tenant_of(claims: Mapping[str, Any], trust: IssuerTrust) -> str | None:
    """Return the tenant that a token names, as it is called here; None where it need not."""
    if trust.tenant_claim is None:
        return None
    value = short_text(claims.get(trust.tenant_claim))
    return trust.tenant_names.get(value) if trust.tenant_names else value
