"""From what the settings say of foreign issuers to trust entries."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from gateway.errors import ConfigurationError
from gateway.identity.key_admission import KNOWN_ALGORITHMS
from gateway.identity.profiles import PROFILES, Names, Profile
from gateway.identity.records import ROLES, SCOPES
from gateway.identity.trust import IntrospectionTrust, IssuerTrust
from gateway.issuer_settings import TrustedIssuer
from gateway.settings import Settings

ADVICE: Final = "see docs/tutorials/connect-an-issuer.md"


def trusted(settings: Settings) -> list[IssuerTrust]:
    """Return the trust entries of the issuers that the settings name.

    Raises:
        ConfigurationError: One would switch a check off, two have one name, or more than one is
            to be asked about opaque tokens.
    """
    local = settings.public_url.startswith("http://")
    entries = [trust_of(entry, loopback_http=local) for entry in settings.issuers]
    hosts = Counter(entry.called for entry in settings.issuers if entry.name is None)
    entries = [  # two realms of one host, say, that were trusted before there were names
        replace(made, name=made.issuer) if given.name is None and hosts[given.called] > 1 else made
        for given, made in zip(settings.issuers, entries, strict=True)
    ]
    repeated = [name for name, count in Counter(one.name for one in entries).items() if count > 1]
    if repeated:
        what = f"two trusted issuers are called {repeated[0]}: change `name` of one"
        raise ConfigurationError(what, ADVICE)
    if sum(entry.introspection is not None for entry in entries) > 1:
        # An opaque token does not say whose it is, and no issuer may see another one's.
        raise ConfigurationError("one trusted issuer at most may have `introspection`", ADVICE)
    return entries


def trust_of(entry: TrustedIssuer, *, loopback_http: bool) -> IssuerTrust:
    """Return the trust entry that one table of the settings makes.

    Args:
        entry: As the operator wrote it.
        loopback_http: Accept `http://` on a loopback address: it is a trial on one machine.

    Raises:
        ConfigurationError: It would switch a check off.
    """
    if not set(entry.default_scopes) <= SCOPES:
        raise ConfigurationError(f"`default_scopes` of an issuer are some of {_told(SCOPES)}")
    if not set(entry.role_names.values()) <= ROLES:
        raise ConfigurationError(f"`role_names` of an issuer lead to some of {_told(ROLES)}")
    profile = _profile(entry)
    return IssuerTrust(
        issuer=entry.issuer,
        audience=entry.audience,
        allowed_tenants=frozenset(entry.tenants),
        algorithms=_algorithms(entry, profile),
        jwks_uri=entry.jwks_uri,
        clients=entry.clients,
        tenant_claim=entry.tenant_claim,
        max_token_seconds=entry.max_token_seconds or profile.life,
        loopback_http=loopback_http,
        name=entry.called,
        profile=profile,
        leeway_seconds=entry.leeway_seconds,
        tenant_names=entry.tenant_names,
        role_names=entry.role_names,
        default_scopes=frozenset(entry.default_scopes),
        scope_prefix=_prefix(entry, profile),
        acr_levels=entry.acr_levels,
        introspection=_introspection(entry),
    )


def _algorithms(entry: TrustedIssuer, profile: Profile) -> frozenset[str]:
    """Return what the issuer may sign with; products still call Ed25519 by its former name."""
    named = entry.algorithms or profile.algorithms
    wanted = frozenset("Ed25519" if name == "EdDSA" else name for name in named)
    if not wanted <= KNOWN_ALGORITHMS:
        raise ConfigurationError(f"`algorithms` of an issuer are some of {_told(KNOWN_ALGORITHMS)}")
    return wanted


def _told(words: frozenset[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _profile(entry: TrustedIssuer) -> Profile:
    """Return the profile of `kind`, with what the operator says otherwise."""
    made = PROFILES[entry.kind]
    if entry.types is not None:
        types = frozenset(t.lower().removeprefix("application/") for t in entry.types)
        made = replace(made, types=types)
    if entry.client_claim is not None:
        made = replace(made, client=_names(entry.client_claim), client_agrees=())
    if entry.subject_claim is not None:
        made = replace(made, subject=_names(entry.subject_claim))
    if entry.scope_claim is not None:
        made = replace(made, scopes=_names(entry.scope_claim), scopes_either=True)
    if entry.roles_claim is not None:
        made = replace(made, roles=_names(entry.roles_claim))
    if entry.acr_claim is not None:
        made = replace(made, acr=entry.acr_claim)
    return made


def _names(claims: str | Names) -> Names:
    return (claims,) if isinstance(claims, str) else claims


def _prefix(entry: TrustedIssuer, profile: Profile) -> str:
    if entry.scope_prefix is not None:
        return entry.scope_prefix
    return f"{entry.audience}/" if profile.audience_in_scopes else ""


def _introspection(entry: TrustedIssuer) -> IntrospectionTrust | None:
    asked = entry.introspection
    if asked is None:
        return None
    return IntrospectionTrust(asked.endpoint, asked.client_id, asked.secret_file, asked.seconds)
