"""What `sealgate issuer check` finds: discovery, keys, and each rule that a token meets or breaks.

1. It asks what the gateway would ask, in the same way: no redirect, bounded, https or loopback.
2. It never shows the token. What it shows of its claims is what the settings are about: issuer,
   audience, client, scopes, roles, tenant, times. Never for whom it is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx

from gateway.client.certificates import FILE, certificate_fault, check_variables
from gateway.identity.discovery import discover
from gateway.identity.errors import InvalidToken, IssuerUnavailable, KeyRefused
from gateway.identity.fetching import fetch_document, post_form
from gateway.identity.issuers import FETCH_SECONDS
from gateway.identity.key_sets import NO_KEYS, KeySet, read_key_set
from gateway.identity.mapped import agreed_client
from gateway.identity.opaque_tokens import Introspection, looks_signed
from gateway.identity.signed import MAX_COMPACT, Unverified
from gateway.identity.token_rules import RULES, Presented
from gateway.identity.tokens import parse_access_token
from gateway.identity.trust import IssuerTrust
from gateway.strict_json import strict_json

State = Literal["ok", "broken", "unavailable"]
MAX_SHOWN: Final = 200
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Look:
    """One line of what was found.

    Attributes:
        check: What was looked at.
        state: How it is; `unavailable` if the issuer could not be asked.
        what: What is so, or what is wrong.
        found: What the token or the issuer says there.
        next: What helps.
    """

    check: str
    state: State
    what: str
    found: str = ""
    next: str = ""


async def look(
    trust: IssuerTrust,
    token: bytes | None,
    clock: Callable[[], float],
    monotonic: Callable[[], float],
) -> AsyncIterator[Look]:
    """Look at an issuer, and at a token of it.

    Args:
        trust: The entry of the issuer.
        token: As sent, or None to look at the issuer alone.
        clock: Unix seconds.
        monotonic: Seconds of a clock that is never set back.
    """
    check_variables()
    async with httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client:

        async def fetch(url: str) -> bytes:
            return await fetch_document(client, url)

        async def post(url: str, form: bytes, authorization: bytes) -> tuple[int, bytes]:
            return await post_form(client, url, form, authorization)

        keys = NO_KEYS
        async for one in _of_issuer(trust, fetch):
            if isinstance(one, KeySet):
                keys = one
            else:
                yield one
        if token is None:
            return
        if trust.introspection is not None and not looks_signed(token):
            asking = Introspection(trust, fetch, post, clock, monotonic)
            async for found in _of_opaque(asking, token, clock()):
                yield found
            return
        for found in _of_signed(trust, keys, token, clock()):
            yield found


async def _of_issuer(trust: IssuerTrust, fetch: Any) -> AsyncIterator[Look | KeySet]:
    address = trust.jwks_uri
    try:
        if address is None:
            address = (await discover(trust, fetch)).jwks_uri
            yield Look("discovery", "ok", "the document is of this issuer", address)
        keys = read_key_set(strict_json(await fetch(address)), trust.algorithms)
    except (IssuerUnavailable, KeyRefused, ValueError) as fault:
        yield _fault("discovery" if address is None else "keys", trust, fault, address or "")
        return
    yield keys
    for key in keys.by_id.values():
        names = ", ".join(sorted({key.algorithm, *key.others}))
        yield Look("key", "ok", f"verifies {names}", _shown(key.kid))
    if not keys.by_id:
        yield Look("key", "ok", "it has no id: for tokens without `kid`, if it is the only one")
    for left in keys.left_out:
        yield Look("key", "ok", f"left out: {left.why}", f"number {left.place + 1} of the set")


def _fault(check: str, trust: IssuerTrust, fault: Exception, address: str) -> Look:
    refused = certificate_fault(fault)
    if refused is not None:
        return Look(check, "unavailable", "its certificate is not trusted", address,
                    f"name its authority in {FILE}")  # fmt: skip
    what = getattr(fault, "public", "it is no JSON document")
    return Look(check, "unavailable", what, address or trust.issuer,
                "curl -sS the address with /.well-known/openid-configuration, from this machine; "
                "`issuer` must be exactly what the document says")  # fmt: skip


async def _of_opaque(asking: Introspection, token: bytes, now: float) -> AsyncIterator[Look]:
    try:
        claims = await asking.claims(token)
    except InvalidToken as refusal:
        yield Look(refusal.rule, "broken", refusal.why, next=refusal.advice)
        return
    except IssuerUnavailable as fault:
        cause = fault.__cause__
        what = getattr(cause, "public", fault.public)
        yield Look(
            "introspection", "unavailable", what, next="see `introspection` and `secret_file`"
        )
        return
    yield Look("introspection", "ok", "the issuer says that it is active")
    for one in _rules(Presented(claims, asking.trust, now, None, None)):
        yield one


def _of_signed(
    trust: IssuerTrust, keys: KeySet, token: bytes, now: float
) -> tuple[Look, ...] | list[Look]:
    if len(token) > MAX_COMPACT:
        return [Look("form", "broken", f"it is longer than {MAX_COMPACT} bytes")]
    try:
        _, kid, unverified = parse_access_token(token)
    except InvalidToken:
        advice = "an access token has three parts and `alg`; opaque ones need `introspection`"
        return [Look("form", "broken", "it is no well-formed signed access token", next=advice)]
    form = Look("form", "ok", "it is a signed token")
    seen = Presented(unverified.claims, trust, now, unverified, keys.find(kid))
    return [form, *_rules(seen, fetched=keys is not NO_KEYS)]


def _rules(seen: Presented, *, fetched: bool = True) -> list[Look]:
    made = []
    for rule in RULES:
        if rule.signed and seen.token is None:
            continue
        if rule.name == "signature" and not fetched:
            what = "not looked at: the issuer's keys could not be had"
            made.append(Look(rule.name, "unavailable", what))
            continue
        found = _found(rule.name, seen)
        try:
            rule.hold(seen)
            made.append(Look(rule.name, "ok", rule.asks, found))
        except InvalidToken as refusal:
            made.append(Look(rule.name, "broken", refusal.why, found, refusal.advice))
    if all(one.state == "ok" for one in made):
        client = seen.trust.clients.get(agreed_client(seen.claims, seen.trust.profile), "")
        made.append(Look("stands for", "ok", "this client here, if it is registered", client))
    return made


def _found(rule: str, seen: Presented) -> str:
    """Return what the token says where a rule looks; nothing of for whom it is."""
    claims, profile = seen.claims, seen.trust.profile
    header: Mapping[str, Any] = seen.token.header if isinstance(seen.token, Unverified) else {}
    named: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
        "type": (header, ("typ",)),
        "algorithm": (header, ("alg",)),
        "signature": (header, ("kid",)),
        "times": (claims, ("iat", "nbf", "exp")),
        "issuer": (claims, ("iss", *([profile.issuer_holds] if profile.issuer_holds else []))),
        "audience": (claims, ("aud",)),
        "use": (claims, tuple(profile.marks)),
        "client": (claims, (*profile.client, *profile.client_agrees)),
        "scopes": (claims, profile.scopes),
        "roles": (claims, profile.roles[:1]),
        "tenant": (claims, (seen.trust.tenant_claim,) if seen.trust.tenant_claim else ()),
    }
    where, names = named.get(rule, ({}, ()))
    return _shown({name: where[name] for name in names if name in where} or None)


def _shown(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
