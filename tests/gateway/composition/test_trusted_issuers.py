"""What an operator may say of an issuer, and what would switch a check off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.composition.trusted_issuers import trust_of, trusted
from gateway.errors import ConfigurationError
from gateway.identity.profiles import PROFILES
from gateway.issuer_settings import TrustedIssuer
from gateway.settings import load_settings

ENTRY: dict[str, Any] = {
    "issuer": "https://login.example",
    "audience": "gw",
    "tenants": ("north",),
    "clients": {"svc": "service"},
}


def made(**changes: Any) -> Any:
    return trust_of(TrustedIssuer(**{**ENTRY, **changes}), loopback_http=False)


@pytest.mark.parametrize("kind", list(PROFILES))
def test_a_kind_has_algorithms_of_its_own_and_none_that_is_a_secret(kind: Any) -> None:
    entry = made(kind=kind)
    assert entry.algorithms == PROFILES[kind].algorithms
    assert entry.max_token_seconds == PROFILES[kind].life
    assert not any(name.startswith(("HS", "none")) for name in entry.algorithms)


def test_the_former_name_of_ed25519_may_be_written() -> None:
    assert made(algorithms=("EdDSA", "RS256")).algorithms == {"Ed25519", "RS256"}


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"algorithms": ("RS512",)},
        {"kind": "auth0", "audience": "svc"},
        {"kind": "okta", "audience": "svc"},
        {"kind": "cognito", "scope_prefix": ""},
        {"tenant_names": {"7": "north"}},
        {"tenant_claim": "org", "tenant_names": {"7": "south"}},
        {"role_names": {"admins": "root"}},
        {"default_scopes": ("everything",)},
        {"issuer": "http://login.example"},
        {"issuer": "http://127.0.0.1:9"},
        {"jwks_uri": "http://login.example/keys"},
    ],
    ids=str,
)
def test_what_would_switch_a_check_off_is_refused(changes: dict[str, Any]) -> None:
    assert made()
    with pytest.raises(ConfigurationError):
        made(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ""},
        {"tenants": ()},
        {"clients": {}},
        {"algorithms": ()},
        {"types": ()},
        {"client_claim": ()},
        {"client_claim": ""},
        {"kind": "Keycloak 26"},
        {"leeway_seconds": 301},
        {"leeway_seconds": -1},
        {"max_token_seconds": 0},
        {"max_token_seconds": 100_801},
        {"acr_levels": {"x": 10}},
        {"audiance": "gw"},
        {"introspection": {"client_id": "gw"}},
        {"introspection": {"client_id": "gw", "secret_file": "/s", "seconds": 301}},
    ],
    ids=str,
)
def test_an_empty_or_unknown_value_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**changes)


def settings(folder: Path, url: str, *issuers: str) -> Any:
    lines = [f'public_url = "{url}"', 'audit_origin = "a"']
    for name in issuers:
        lines += [
            "[[issuers]]",
            f'issuer = "{name}"',
            'audience = "gw"',
            'tenants = ["north"]',
            'clients = { "svc" = "service" }',
        ]
    (folder / "sealgate.toml").write_text("\n".join(lines))
    return load_settings(folder)


def test_an_issuer_without_https_is_for_a_trial_on_one_machine(tmp_path: Path) -> None:
    local = "http://127.0.0.1:8081"
    (entry,) = trusted(settings(tmp_path, local, "http://localhost:8080"))
    assert entry.loopback_http
    for url, issuer in (
        ("https://models.example", "http://127.0.0.1:8080"),
        (local, "http://login.example"),
        (local, "ftp://127.0.0.1"),
        (local, "https://[1"),
    ):
        with pytest.raises(ConfigurationError):
            trusted(settings(tmp_path, url, issuer))


def test_two_issuers_at_one_host_are_called_by_their_addresses(tmp_path: Path) -> None:
    url, realms = "https://models.example", ("https://a.example/x", "https://a.example/y")
    assert [one.name for one in trusted(settings(tmp_path, url, *realms))] == list(realms)


def test_two_issuers_of_one_name_are_told_apart_by_the_operator(tmp_path: Path) -> None:
    found = settings(tmp_path, "https://models.example", "https://a.example", "https://b.example")
    alike = [entry.model_copy(update={"name": "ours"}) for entry in found.issuers]
    with pytest.raises(ConfigurationError, match="called ours"):
        trusted(found.model_copy(update={"issuers": tuple(alike)}))
