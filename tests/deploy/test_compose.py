"""deploy/compose.yaml: keys are settings, the gateway would start with them, all is confined."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import psycopg.conninfo
import pytest
import yaml
from sqlalchemy.engine import make_url

from gateway.errors import ConfigurationError
from gateway.settings import Settings, load_settings
from tests.deploy.lockfile import ROOT


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml ships no types
    """Knows the tag with which compose takes a value of the first file away."""


Loader.add_constructor("!reset", lambda loader, node: None)

GIVEN = {
    "SEALGATE_PUBLIC_URL": "https://models.example.org",
    "SEALGATE_AUDIT_ORIGIN": "log.example.org",
}


def load(name: str) -> dict[str, Any]:
    loaded = yaml.load((ROOT / "deploy" / name).read_text(), Loader)  # noqa: S506 - a safe loader
    assert isinstance(loaded, dict)
    return loaded


def fill(value: str) -> str:
    """Put variables in as compose does: `${NAME:-default}` and `${NAME:?why}`."""

    def given(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name in GIVEN:
            return GIVEN[name]
        assert kind == "-", f"{name} has no default and is not in the README"
        return rest

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", given, value)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return load("compose.yaml")


@pytest.fixture(params=["compose.yaml", "compose.federation.yaml"])
def environment(compose: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, str]:
    """The gateway's environment, from the first file alone and with the second on top."""
    given = {
        **compose["services"]["gateway"]["environment"],
        **load(request.param)["services"]["gateway"]["environment"],
    }
    return {name: fill(value) for name, value in given.items() if value is not None}


def test_each_variable_is_a_setting(environment: dict[str, str]) -> None:
    keys = {name.removeprefix("SEALGATE_").lower() for name in environment}
    assert keys <= set(Settings.model_fields)


@pytest.fixture
def settings(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "sealgate.toml").write_text("")
    return load_settings(tmp_path)


def test_the_gateway_starts_with_them(settings: Settings) -> None:
    assert settings.mode == "server"
    assert settings.public_url == GIVEN["SEALGATE_PUBLIC_URL"]


def test_without_the_named_proxy_it_would_not(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALGATE_TRUSTED_PROXIES", "[]")
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path)


def test_the_proxy_that_is_trusted_is_the_proxy_that_is_there(
    compose: dict[str, Any], settings: Settings
) -> None:
    address = compose["services"]["proxy"]["networks"]["inside"]["ipv4_address"]
    assert settings.trusted_proxies == (address,)
    [pool] = compose["networks"]["inside"]["ipam"]["config"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(pool["subnet"])


def test_the_database_address_is_understood_and_holds_no_password(compose: dict[str, Any]) -> None:
    url = make_url(compose["services"]["gateway"]["environment"]["SEALGATE_DATABASE_URL"])
    assert url.password is None
    _, arguments = url.get_dialect()().create_connect_args(url)
    info = psycopg.conninfo.conninfo_to_dict(psycopg.conninfo.make_conninfo(**arguments))
    assert info["host"] == "database"
    assert info["passfile"] == "/run/secrets/pgpass"


def test_each_secret_that_is_named_is_mounted(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        named = set(re.findall(r"/run/secrets/(\w+)", yaml.safe_dump(service)))
        assert named <= set(service.get("secrets", []))
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_no_secret_is_written_into_the_file(compose: dict[str, Any]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|PASSPHRASE|KEY|SECRET", name) and not name.endswith("UNLOCK"):
                assert value.startswith("/run/secrets/")


def test_each_container_is_confined(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] != "0", name
        assert service["ulimits"]["core"] == 0, name
        assert service["memswap_limit"] == service["mem_limit"], f"{name} could be swapped to disk"
        assert not service.get("privileged")


def test_only_the_proxy_is_reached_from_outside(compose: dict[str, Any]) -> None:
    open_to_all = {name for name, service in compose["services"].items() if "ports" in service}
    assert open_to_all == {"proxy"}
    inner = {name for name, one in compose["networks"].items() if one and one.get("internal")}
    for name in ("gateway", "database"):
        assert set(compose["services"][name]["networks"]) <= inner


def test_each_volume_and_network_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "deploy" / source).is_file()
            else:
                assert source in compose["volumes"]
        assert set(service["networks"]) <= set(compose["networks"])
