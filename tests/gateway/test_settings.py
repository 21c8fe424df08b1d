from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.errors import ConfigurationError
from gateway.settings import SETTINGS_FILE, load_settings

SAFE = 'public_url = "http://127.0.0.1:8080"\naudit_origin = "audit.example"\n'


def load(folder: Path, text: str = "", **overrides: Any) -> Any:
    (folder / SETTINGS_FILE).write_text(SAFE + text)
    return load_settings(folder, **overrides)


def test_the_file_is_read_and_the_command_line_wins(tmp_path: Path) -> None:
    settings = load(tmp_path, "port = 1\n", port=2)
    assert settings.port == 2
    assert settings.control_url == f"sqlite:///{tmp_path / 'control.db'}"


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALGATE_REGION", "us")
    assert load(tmp_path, 'region = "eu"\n').region == "us"


def test_a_mistyped_variable_refuses_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALGATE_REGOIN", "us")
    with pytest.raises(ConfigurationError, match="SEALGATE_REGOIN"):
        load(tmp_path)


def test_a_variable_of_the_command_line_is_no_mistyped_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = re.compile(r'^VARIABLE: Final = "(SEALGATE_\w+)"', re.MULTILINE)
    read = {
        name
        for path in Path(cli.__path__[0]).glob("*.py")
        for name in named.findall(path.read_text())
    }
    assert {"SEALGATE_PROFILE", "SEALGATE_TRUST"} <= read
    for name in read:
        monkeypatch.setenv(name, "somewhere")
    load(tmp_path)


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = load(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('host = "0.0.0.0"\n', "without TLS"),
        ('host = "0.0.0.0"\ntrusted_proxies = ["*"]\n', "trusted_proxies"),
        ('tls_certificate = "c.pem"\n', "tls_key"),
        ('sites_key = "k.pem"\n', "sites_certificate"),
        ('grpc_port = 8001\ngrpc_host = "0.0.0.0"\n', "grpc_host"),
        ("grpc_port = 70000\n", "grpc_port"),
        ('mode = "demo"\ngrpc_host = "192.0.2.1"\n', "loopback"),
        ('sites_host = "0.0.0.0"\n', "sites_host"),
        ('mode = "demo"\nhost = "192.0.2.1"\ntrusted_proxies = ["192.0.2.2"]\n', "loopback"),
        ("portt = 1\n", "portt"),
        ("port = 70000\n", "port"),
        ('rate_limit = ["secret-value"]\n', "rate_limit"),
        (
            '[[issuers]]\nissuer = "http://idp.example"\naudience = "a"\ntenants = ["t"]\n'
            'clients = {c = "t"}\n',
            "https",
        ),
        (
            '[[issuers]]\nissuer = "https://idp.example"\naudience = ""\ntenants = ["t"]\n'
            'clients = {c = "t"}\n',
            "audience",
        ),
        (
            '[[issuers]]\nissuer = "https://idp.example"\naudience = "a"\nalgorithms = []\n'
            'tenants = ["t"]\nclients = {c = "t"}\n',
            "algorithms",
        ),
        ("not toml", "TOML"),
    ],
)
def test_unsafe_or_unknown_settings_refuse_the_start(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names) as caught:
        load(tmp_path, text)
    assert "secret-value" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://gate.example",
        "ftp://127.0.0.1",
        "127.0.0.1",
        "https://a/b",
        "https://a/?q",
        "https://",
    ],
)
def test_a_public_url_that_is_not_safe_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="public_url"):
        load(tmp_path, public_url=url)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=SETTINGS_FILE):
        load_settings(tmp_path)


def test_an_insecure_transport_variable_refuses_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with pytest.raises(ConfigurationError, match="AUTHLIB_INSECURE_TRANSPORT"):
        load(tmp_path)


def test_an_empty_origin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="audit_origin"):
        load(tmp_path, audit_origin="")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://[::1]:8080", "::1"),
        ("http://127.0.0.2:8080", "127.0.0.2"),
        ("http://localhost:8080", "127.0.0.1"),
        ("https://models.example", "127.0.0.1"),
        ("https://[2001:db8::1]", "127.0.0.1"),
    ],
)
def test_a_public_address_of_loopback_is_listened_at(tmp_path: Path, url: str, host: str) -> None:
    """`http://[::1]:8080` was made the issuer, and 127.0.0.1 was listened at."""
    text = f'public_url = "{url}"\naudit_origin = "o"\n'
    (tmp_path / SETTINGS_FILE).write_text(text)
    assert load_settings(tmp_path).host == host
    (tmp_path / SETTINGS_FILE).write_text(text + 'host = "127.0.0.3"\n')
    assert load_settings(tmp_path).host == "127.0.0.3"
    assert load_settings(tmp_path, host="127.0.0.4").host == "127.0.0.4"


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999", "https://", "::1"])
def test_a_public_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / SETTINGS_FILE).write_text(f'public_url = "{url}"\naudit_origin = "o"\n')
    with pytest.raises(ConfigurationError, match="`public_url`"):
        load_settings(tmp_path)


def test_two_doors_with_one_port_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`port` and `grpc_port` are the same port"):
        load(tmp_path, "grpc_port = 8080\n")
    with pytest.raises(ConfigurationError, match="`operations_port` and `sites_port`"):
        load(tmp_path, "sites_port = 9090\n")
    load(tmp_path, 'federation = "off"\nsites_port = 9090\n')
    load(tmp_path, 'grpc_port = 8080\ngrpc_host = "127.0.0.2"\n')
    load(tmp_path, "port = 0\noperations_port = 0\n")


def test_a_folder_that_lost_its_settings_is_told_from_one_that_was_never_made(
    tmp_path: Path,
) -> None:
    """The advice was to make it anew, over keys and a log."""
    with pytest.raises(ConfigurationError) as told:
        load_settings(tmp_path / "never")
    assert "sealgate init" in told.value.advice
    (tmp_path / "audit.db").touch()
    with pytest.raises(ConfigurationError, match="which holds other things") as told:
        load_settings(tmp_path)
    assert "backup" in told.value.advice
    assert "sealgate init" not in told.value.advice
