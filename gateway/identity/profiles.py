"""How the makers of identity products write access tokens, as data. Pure.

1. A profile says where a maker keeps what `gateway.identity.token_rules` asks for. Nothing in it
   switches a rule off: what a maker leaves out has a named stand-in, or the token is refused.
2. Each tells the maker's access tokens from its ID tokens, which anyone who signs in somewhere
   gets: by the header's type where the maker writes one, else by a claim that only access tokens
   have. Claims that only ID tokens have are refused besides.
3. A token of one maker does not fit the profile of another.

Sources: RFC 9068 section 2; Keycloak's server administration guide; Microsoft's "access token
claims reference"; Okta's "access token payload"; Auth0's "access token profiles"; Amazon Cognito's
"understanding the access token".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Names = tuple[str, ...]
"""Claims: the first one that a token has counts."""
Kind = Literal["rfc9068", "keycloak", "entra", "okta", "auth0", "cognito"]

TYPED: Final = "at+jwt"
"""The type of RFC 9068: only access tokens have it."""
UNTYPED: Final = ""
"""Stands for a header without `typ`."""
HASHES: Final = frozenset({"at_hash", "c_hash", "s_hash"})
"""Claims of ID tokens alone (OpenID Connect Core section 3.3.2.11)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Where one maker keeps what.

    Attributes:
        types: Accepted `typ` of the header, lower case, without `application/`; `UNTYPED` for none.
        algorithms: What the product signs with; the default of a trust entry.
        client: Who asks.
        client_agrees: Claims that must say the same as `client` where there are any.
        subject: For whom.
        token_id: What tells tokens apart; where there is none a digest of the token does.
        needs_token_id: No digest does: the claim must be there.
        scopes: What it may do; the first claim that is there.
        scope_lists: Those of them that are lists of texts; others are words in one text.
        scopes_either: They may be of either form: an operator named them.
        roles: Path to a list of roles: a claim, and members within it.
        acr: How strongly somebody authenticated.
        audience_in_scopes: A token without `aud` is for us if it has a scope of ours.
        marks: Claims and the values, one of which an access token has, where the type does not say.
        refused: Claims that no access token of this maker has.
        client_is_no_audience: A token whose client is in `aud` is an ID token.
        issuer_holds: A claim that names the issuer's tenant, as the path of the issuer does.
        life: Default of the longest lifetime, seconds.
    """

    types: frozenset[str]
    algorithms: frozenset[str]
    client: Names = ("client_id",)
    client_agrees: Names = ()
    subject: Names = ("sub",)
    token_id: Names = ("jti",)
    needs_token_id: bool = False
    scopes: Names = ("scope",)
    scope_lists: frozenset[str] = frozenset()
    scopes_either: bool = False
    roles: Names = ("roles",)
    acr: str = "acr"
    audience_in_scopes: bool = False
    marks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    refused: frozenset[str] = HASHES | {"nonce"}
    client_is_no_audience: bool = False
    issuer_holds: str | None = None
    life: int = 3600


RFC9068: Final = Profile(
    types=frozenset({TYPED}),
    algorithms=frozenset({"Ed25519", "ES256", "PS256"}),
    needs_token_id=True,
)
"""What this gateway mints itself, and whoever follows the standard."""

_KEYCLOAK: Final = Profile(
    types=frozenset({"jwt", TYPED}),  # the latter by a switch of the client
    algorithms=frozenset({"RS256", "PS256", "ES256", "Ed25519"}),
    client=("azp",),
    client_agrees=("client_id",),
    subject=("sub", "azp"),  # a client without the scope `basic` has no `sub`
    roles=("realm_access", "roles"),
    marks={"typ": frozenset({"Bearer", "DPoP"})},  # `ID`, `Refresh`, `Logout` are others
    refused=HASHES,  # access tokens had `nonce` until Keycloak 24
)
_ENTRA: Final = Profile(
    types=frozenset({"jwt"}),
    algorithms=frozenset({"RS256"}),
    client=("azp", "appid"),  # of version 2 and 1
    subject=("oid", "sub"),  # `sub` is another one for each application
    token_id=("uti", "jti"),
    scopes=("scp", "roles"),  # of people, and of applications
    scope_lists=frozenset({"roles"}),
    marks={"ver": frozenset({"1.0", "2.0"})},
    issuer_holds="tid",
    life=7200,  # 60 to 90 minutes, and dated back by five
)
_OKTA: Final = Profile(
    types=frozenset({UNTYPED, "jwt"}),
    algorithms=frozenset({"RS256"}),
    client=("cid",),
    scopes=("scp",),
    scope_lists=frozenset({"scp"}),
    roles=("groups",),
    client_is_no_audience=True,
)
_AUTH0: Final = Profile(
    types=frozenset({"jwt"}),
    algorithms=frozenset({"RS256", "PS256"}),
    client=("azp",),
    client_agrees=("client_id",),
    scopes=("scope", "permissions"),
    scope_lists=frozenset({"permissions"}),
    roles=("permissions",),
    refused=HASHES | {"nonce", "typ", "ver", "token_use"},
    client_is_no_audience=True,
    life=86_400,  # what an API has unless it is set
)
_COGNITO: Final = Profile(
    types=frozenset({UNTYPED, "jwt"}),
    algorithms=frozenset({"RS256"}),
    roles=("cognito:groups",),
    audience_in_scopes=True,
    marks={"token_use": frozenset({"access"})},
)

PROFILES: Final[Mapping[Kind, Profile]] = MappingProxyType(
    {
        "rfc9068": RFC9068,
        "keycloak": _KEYCLOAK,
        "entra": _ENTRA,
        "okta": _OKTA,
        "auth0": _AUTH0,
        "cognito": _COGNITO,
    }
)
