"""What an access token must meet, rule by rule. Pure: the order here is the order of the checks.

1. The caller looks the token's issuer up before it picks any key; the key comes from that trust
   entry alone, and its algorithm must be one that the entry allows.
2. No rule is skipped because a claim is missing: what is missing is refused. Where a maker leaves a
   claim out, its profile (`gateway.identity.profiles`) names what stands for it.
3. A key that a token brings along, or points at, refuses the token.
4. A token is neither expired, nor from the future beyond the entry's leeway, nor does it live
   longer than the entry allows. No leeway is given to its end.
5. An ID token is no access token: type, marks and claims of the maker tell them apart.
6. Text that is kept is printable and bounded, so that it can go into a log or a database.
7. What a refusal says names rules, claims and settings, and repeats nothing of the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway.identity.errors import InvalidToken, SignatureRefused
from gateway.identity.key_admission import TrustedKey
from gateway.identity.mapped import agreed_client, audience_fits, granted, texts_at
from gateway.identity.profiles import TYPED
from gateway.identity.signed import Unverified, numeric_date, short_text, verify
from gateway.identity.trust import IssuerTrust

KEY_PARAMETERS: Final = frozenset({"jwk", "jku", "x5u"})
"""Headers (RFC 7515 section 4.1) that offer a key: no maker sends one in an access token."""

CONFIRMATIONS: Final = ({"jkt"}, {"x5t#S256"})
"""Members of `cnf` that are understood: RFC 9449 section 6, RFC 8705 section 3.1."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A token beside what it is held against.

    Attributes:
        claims: What it says.
        trust: The entry of its issuer.
        now: Unix seconds.
        token: The token, or None where the issuer was asked what it is (RFC 7662).
        key: The issuer's key that it names, or None.
        expired_too: It may have expired.

    Where the issuer was asked, it has said before that the token is an access token.
    """

    claims: Mapping[str, Any]
    trust: IssuerTrust
    now: float
    token: Unverified | None
    key: TrustedKey | None
    expired_too: bool = False

    @property
    def typed(self) -> bool:
        """Whether header or issuer say by themselves that it is an access token."""
        return self.token is None or self.token.type == TYPED


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: Stable, for logs and metrics.
        asks: What it wants, for people.
        check: Raises where it is broken.
        signed: It is about the signed form, so it does not concern an answer of introspection.
    """

    name: str
    asks: str
    check: Callable[[Presented], None]
    signed: bool = False

    def hold(self, seen: Presented) -> None:
        """Check the rule.

        Raises:
            InvalidToken: It is broken; with the rule's name.
        """
        try:
            self.check(seen)
        except InvalidToken as refusal:
            refusal.rule = self.name
            raise
        except SignatureRefused as cause:
            raise InvalidToken(rule=self.name, why=_MALFORMED) from cause


_MALFORMED: Final = "it is missing, of another kind than text or number, or too long"


def _broken(why: str, advice: str = "", message: str | None = None) -> NoReturn:
    raise InvalidToken(message, why=why, advice=advice)


def _type(seen: Presented) -> None:
    if seen.token is None or seen.token.type not in seen.trust.profile.types:
        _broken("the header's `typ` is of no access token of this maker", "see `kind` and `types`")


def _no_key_within(seen: Presented) -> None:
    if seen.token is None or not KEY_PARAMETERS.isdisjoint(seen.token.header):
        _broken("it brings a key along, or points at one")


def _algorithm(seen: Presented) -> None:
    named = None if seen.token is None else seen.token.header.get("alg")
    known = "Ed25519" if named == "EdDSA" else named
    if not isinstance(known, str) or known not in seen.trust.algorithms:
        _broken("`alg` is not among `algorithms`", "add it only if your issuer signs with it")


def _signature(seen: Presented) -> None:
    if seen.key is None:
        _broken("the issuer publishes no usable key of that `kid`")
    if seen.token is None or seen.key.algorithm not in seen.trust.algorithms | {"EdDSA"}:
        _broken("the key is not for an algorithm of `algorithms`")
    try:
        verify(seen.token, seen.key)
    except SignatureRefused:
        _broken("the signature is not by the issuer's key, or the key is for another algorithm")


def _issuer(seen: Presented) -> None:
    if seen.claims.get("iss") != seen.trust.issuer:
        _broken("`iss` is not exactly `issuer`: a slash or a capital makes another one")
    claim = seen.trust.profile.issuer_holds
    parts = seen.trust.issuer.split("/")
    if claim is None or not any(_is_uuid(part) for part in parts):
        return
    if seen.claims.get(claim) not in parts:
        _broken(f"`{claim}` is not the directory that `issuer` names")


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def _times(seen: Presented) -> None:
    issued = numeric_date(seen.claims.get("iat"))
    expires = numeric_date(seen.claims.get("exp"))
    if expires <= seen.now and not seen.expired_too:
        _broken("it has expired", "get a new one", "the access token has expired")
    latest = seen.now + seen.trust.leeway_seconds
    if issued > latest or numeric_date(seen.claims.get("nbf", issued)) > latest:
        _broken("it is from the future", "set the clocks; `leeway_seconds` forgives some")
    numeric_date(seen.claims.get("auth_time", issued))
    if not issued < expires <= issued + seen.trust.max_token_seconds:
        _broken("it lives longer than `max_token_seconds`", "shorten it there, or allow it here")


def _audience(seen: Presented) -> None:
    if not audience_fits(seen.claims, seen.trust):
        _broken("`aud`, or a scope of ours, does not name `audience`: it is for somebody else")


def _use(seen: Presented) -> None:
    profile, claims = seen.trust.profile, seen.claims
    for claim, values in profile.marks.items():
        if (claim in claims or not seen.typed) and claims.get(claim) not in _texts(values):
            _broken(f"`{claim}` does not say that it is an access token of this maker")
    for claim in sorted(profile.refused):
        if claim in claims and not (claim == "nonce" and seen.typed):
            _broken(f"`{claim}` is in no access token of this maker: it may be an ID token")
    if profile.client_is_no_audience:
        audiences = claims.get("aud")
        if agreed_client(claims, profile) in (
            audiences if isinstance(audiences, list) else [audiences]
        ):
            _broken("`aud` names the client: it is an ID token")


def _texts(values: frozenset[str]) -> list[str]:
    """Return them so that asking for what cannot be hashed is no fault."""
    return list(values)


def _client(seen: Presented) -> None:
    if seen.trust.clients and agreed_client(seen.claims, seen.trust.profile) not in (
        seen.trust.clients
    ):
        _broken("its client is not in `clients`", "name it there, and whom it stands for here")
    agreed_client(seen.claims, seen.trust.profile)


def _subject(seen: Presented) -> None:
    short_text(_first(seen.claims, seen.trust.profile.subject))


def _token_id(seen: Presented) -> None:
    profile = seen.trust.profile
    value = _first(seen.claims, profile.token_id)
    if value is not None or profile.needs_token_id or _named(seen.claims, profile.token_id):
        short_text(value)


def _first(claims: Mapping[str, Any], names: tuple[str, ...]) -> object:
    return next((claims[name] for name in names if name in claims), None)


def _named(claims: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return any(name in claims for name in names)


def _scopes(seen: Presented) -> None:
    if granted(seen.claims, seen.trust) is None:
        _broken("its scopes are of another kind than text, too many, or no scopes of RFC 6749")


def _roles(seen: Presented) -> None:
    roles = texts_at(seen.claims, seen.trust.profile.roles)
    if roles is None:
        _broken("its roles are no list of texts", "see `roles_claim`")
    if seen.trust.role_names and roles.isdisjoint(seen.trust.role_names):
        _broken("it has none of the roles of `role_names`")


def _tenant(seen: Presented) -> None:
    trust = seen.trust
    if trust.tenant_claim is None:
        return
    value = short_text(seen.claims.get(trust.tenant_claim))
    if trust.tenant_names and value not in trust.tenant_names:
        _broken("its tenant is not in `tenant_names`", "name it there, and which it is here")


def _binding(seen: Presented) -> None:
    # INVARIANT: a confirmation that is not understood is refused, never read as "not bound".
    if "cnf" in seen.claims:
        confirmation = seen.claims["cnf"]
        if not isinstance(confirmation, dict) or confirmation.keys() not in CONFIRMATIONS:
            _broken("it is bound to a key in a way that is not known here (`cnf`)")
        for value in confirmation.values():
            short_text(value)


RULES: Final = (
    Rule("type", "the header's `typ` is that of an access token", _type, signed=True),
    Rule("no key within", "it brings no key along", _no_key_within, signed=True),
    Rule("algorithm", "`alg` is one of `algorithms`", _algorithm, signed=True),
    Rule("signature", "it is signed by a key that the issuer publishes", _signature, signed=True),
    Rule("times", "it is valid now, and not for longer than `max_token_seconds`", _times),
    Rule("issuer", "`iss` is exactly `issuer`", _issuer),
    Rule("audience", "it is for `audience`", _audience),
    Rule("use", "it is an access token, not an ID or refresh token", _use),
    Rule("client", "its client is one of `clients`", _client),
    Rule("subject", "it says for whom it is", _subject),
    Rule("token id", "it can be told from others", _token_id),
    Rule("scopes", "its scopes can be read", _scopes),
    Rule("roles", "its roles can be read, and one is in `role_names` if that is set", _roles),
    Rule("tenant", "`tenant_claim`, if that is set, names a tenant", _tenant),
    Rule("binding", "it is bound to no key, by DPoP, or to a certificate", _binding),
)
"""In this order; a token meets all of them or is refused."""
