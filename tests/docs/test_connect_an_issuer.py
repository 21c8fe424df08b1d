"""The configurations that the page shows are accepted, and so are their makers' tokens."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

import pytest
from joserfc.jwk import ECKey

from gateway.composition.trusted_issuers import trust_of
from gateway.identity.key_sets import read_key_set
from gateway.identity.token_rules import RULES
from gateway.identity.tokens import AccessClaims, parse_access_token, read_access_token
from gateway.identity.trust import IssuerTrust
from gateway.issuer_settings import TrustedIssuer
from tests.docs.tables import ROOT
from tests.gateway.identity.fakes import NOW, sign
from tests.gateway.identity.makers import KEY, MAKERS

PAGES: Final = ("docs/tutorials/connect-an-issuer.md", "docs/reference/issuers.md")
PAGE: Final = "\n".join((ROOT / page).read_text() for page in PAGES)
BLOCKS: Final = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WHOLE: Final = [block for block in BLOCKS if block.startswith("[[issuers]]")]
MOST_LINES: Final = 5
CURVE: Final = ECKey.generate_key("P-256")


def trust(block: str, more: str = "") -> IssuerTrust:
    (entry,) = tomllib.loads(block + more)["issuers"]
    return trust_of(TrustedIssuer(**entry), loopback_http=False)


def read(entry: IssuerTrust, header: dict[str, Any], claims: dict[str, Any]) -> AccessClaims:
    key, alg = (KEY, "RS256") if "RS256" in entry.algorithms else (CURVE, "ES256")
    keys = read_key_set({"keys": [{**key.as_dict(private=False), "kid": "k"}]}, entry.algorithms)
    times = {"iss": entry.issuer, "iat": int(NOW), "exp": int(NOW) + 300}
    token = sign({"alg": alg, "kid": "k", **header}, {**claims, **times}, key, alg)
    _, kid, unverified = parse_access_token(token.encode())
    found = keys.find(kid)
    assert found is not None
    return read_access_token(unverified, found, entry, NOW)


@pytest.mark.parametrize("kind", [maker.kind for maker in MAKERS])
def test_the_first_lines_of_a_maker_accept_its_token(kind: str) -> None:
    maker = next(one for one in MAKERS if one.kind == kind)
    said = f'kind = "{kind}"'
    block = next(b for b in WHOLE if (said in b if kind != "rfc9068" else "kind =" not in b))
    entry = trust(block)
    (client,) = entry.clients
    claims = {**maker.claims, maker.client: client}
    claims |= {name: client for name in ("client_id",) if name in claims}
    if "aud" in claims:
        claims["aud"] = entry.audience
    if "tid" in claims:
        assert claims["tid"] in entry.issuer
    if kind == "cognito":
        claims["scope"] = f"{entry.audience}/infer"
    found = read(entry, maker.header, claims)
    assert found.client_id == client
    assert "infer" in found.scopes
    lines = block.strip().splitlines()[1:]
    assert len(lines) <= MOST_LINES


def test_every_configuration_of_the_page_is_accepted() -> None:
    assert len(WHOLE) == 8
    assert [trust(block).name for block in WHOLE]


def test_what_the_page_adds_for_roles_of_keycloak_maps_them() -> None:
    keycloak = next(block for block in WHOLE if 'kind = "keycloak"' in block)
    (added,) = [block for block in BLOCKS if block.startswith("role_names")]
    (client,) = re.findall(r"`(roles_claim = .*?)`", PAGE)
    maker = next(one for one in MAKERS if one.kind == "keycloak")
    base = {**maker.claims, "aud": "sealgate", "azp": "ward-app", "client_id": "ward-app"}
    realm = {"realm_access": {"roles": ["model-caller", "x"]}}
    assert read(trust(keycloak, added), maker.header, {**base, **realm}).roles == frozenset(
        {"caller"}
    )
    of_client = {"resource_access": {"sealgate": {"roles": ["model-owner"]}}}
    entry = trust(keycloak, f"{added}{client}\n")
    assert read(entry, maker.header, {**base, **of_client}).roles == frozenset({"owner"})


def test_what_can_be_said_otherwise_is_what_the_page_says() -> None:
    entry = trust(next(block for block in WHOLE if 'name = "clinics"' in block))
    claims: dict[str, Any] = {
        "aud": "models",
        "azp": "luke-app",
        "sub": "s",
        "jti": "j",
        "org": "org-18",
        "permissions": ["other"],
        "app": {"roles": ["analyst", "boss"]},
        "acr": "urn:example:passkey",
    }
    found = read(entry, {"typ": "JWT"}, claims)
    assert (found.tenant, found.acr, found.roles) == ("st-luke", 2, frozenset({"caller"}))
    assert found.scopes == {"infer"}
    assert read(entry, {"typ": "JWT"}, {**claims, "permissions": "models"}).scopes == {"models"}
    assert read(entry, {"typ": "JWT"}, {**claims, "acr": ["x", 7, None]}).acr == 0


def test_the_rules_that_the_page_explains_are_there() -> None:
    told = set()
    for row in re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE):
        told |= set(re.findall(r"`([a-z ]+)`", row))
    assert told - {rule.name for rule in RULES} == {"none", "registration", "active"}
