"""The one settings object, read at the start and handed to `gateway.composition`.

Safety argument. A gateway that starts is a gateway that is safe to reach:
1. It is reachable in clear text only from this machine, or through a proxy that is named.
2. Nothing unknown is accepted: a mistyped key in file or environment refuses the start.
3. No check can be switched off by an empty value: an empty audience, algorithm list or origin
   refuses the start.
4. A demo folder never leaves loopback.
Nothing else in the package reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.errors import ConfigurationError
from gateway.issuer_settings import IntrospectionSettings, TrustedIssuer
from gateway.toml_text import TomlFault, meant, parse_toml, place_of

SETTINGS_FILE = "sealgate.toml"
CONTROL_FILE = "control.db"
PREFIX = "SEALGATE_"
MAX_PORT = 65_535
REFERENCE = "see docs/reference/settings.md"
# Read by the command line, not by the server.
OF_THE_COMMAND_LINE = frozenset({"SEALGATE_PROFILE", "SEALGATE_TRUST"})

FourEyes = Literal[
    "rotate_token_key",
    "rotate_policy_key",
    "rotate_log_key",
    "rotate_tenant_key",
    "rotate_release_key",
    "replace_lost_release_key",
]
"""Changes that an operator may want two people for."""
Port = Annotated[int, Field(ge=0, le=MAX_PORT)]


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EngineSettings(BaseModel):
    """A kind of engine beside the plain one: `[engines.NAME]`.

    Attributes:
        python: Interpreter of an environment with NumPy and a runtime, such as
            `onnxruntime-openvino` or `onnxruntime-gpu`.
        providers: The runtime's execution providers, the preferred one first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: Path
    providers: tuple[str, ...] = Field(min_length=1)


class Settings(BaseSettings):
    """Everything an operator can set. Keys in `sealgate.toml`, or `SEALGATE_…` in the environment.

    Raises:
        ConfigurationError: From `load_settings`, naming the key and the remedy.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX)

    data_dir: Path
    mode: Literal["server", "demo"] = "server"
    public_url: str = Field(description="the address that callers use; token issuer and audience")
    region: str = Field(default="eu", min_length=1)

    host: str = "127.0.0.1"
    port: Port = 8080
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = Field(
        default=None, description="authorities of certificates that clients may show"
    )
    trusted_proxies: tuple[str, ...] = ()
    proxy_certificate_header: str = Field(
        default="",
        pattern=r"^([A-Za-z][A-Za-z0-9-]{0,63})?$",
        description="in which they hand over the certificate that a client showed",
    )

    grpc_host: str = "127.0.0.1"
    grpc_port: Port | None = None

    operations_host: str = "127.0.0.1"
    operations_port: Port = 9090

    sites_host: str = "127.0.0.1"
    sites_port: Port = 8443
    sites_certificate: Path | None = None
    sites_key: Path | None = None

    database_url: str | None = None
    keystore_unlock: Literal["file", "passphrase", "credential"] = "file"
    keystore_secret: Path | None = Field(
        default=None, description="file of the key, passphrase or systemd credential"
    )
    audit_origin: str = Field(min_length=1)
    issuers: tuple[TrustedIssuer, ...] = ()
    four_eyes: tuple[FourEyes, ...] = ()
    oauth_profile: Literal["rfc7523", "fapi2"] = Field(
        default="rfc7523", description="which assertions of clients are accepted"
    )
    dpop_nonce: bool = Field(
        default=False, description="whether proofs of possession must carry a nonce of ours"
    )
    federation: Literal["auto", "on", "off"] = "auto"

    max_body_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    max_upload_bytes: int = Field(default=2 << 30, ge=1024)
    body_timeout_seconds: float = Field(default=30.0, gt=0)
    run_memory_bytes: int = Field(default=2 << 30, ge=1 << 20)
    engines: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")], EngineSettings] = {}
    engines_memory_bytes: int | None = Field(default=None, ge=1 << 26)
    run_timeout_seconds: float = Field(default=30.0, gt=0)
    rate_limit: str = "300000/minute"
    traces_endpoint: str | None = Field(
        default=None, description="where spans are sent, OTLP over HTTP"
    )
    traces_ca: Path | None = None
    traces_ratio: float = Field(default=0.01, ge=0, le=1)
    batch_rows_a_day: int = Field(default=20_000_000, ge=1)
    batch_bytes_a_day: int = Field(default=16 << 30, ge=1)
    batch_keep_days: int = Field(default=7, ge=1, le=365)
    drain_seconds: float = Field(
        default=0,
        ge=0,
        le=300,
        description="how long it goes on answering once it was asked to stop and is unready",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_file: Path | None = None
    log_requests: Literal["all", "errors"] | Annotated[float, Field(ge=0, le=1)] = 0.01

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what is given and the environment; no other file, not even to find it away."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @model_validator(mode="before")
    @classmethod
    def _listen_at_public_loopback(cls, values: Any) -> Any:
        """Where callers are told a loopback address and no other is set, listen at that one."""
        host = _loopback_of(values.get("public_url")) if isinstance(values, dict) else None
        return {"host": host, **values} if host else values

    @property
    def control_url(self) -> str:
        """The database of the control plane: the configured one, else SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / CONTROL_FILE}"

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Settings:
        for problem in unsafe(self):
            raise ValueError(problem)
        return self


def _loopback_of(url: object) -> str | None:
    """Return the address that a URL names if it is one of loopback, such as `::1`."""
    try:
        host = urlsplit(str(url)).hostname or ""
        return host if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None


def _same_port_twice(settings: Settings) -> list[str]:
    """Two doors of one host cannot share a port."""
    doors = [
        ("port", settings.host, settings.port),
        ("operations_port", settings.operations_host, settings.operations_port),
        ("grpc_port", settings.grpc_host, settings.grpc_port),
    ]
    if settings.federation != "off":
        doors.append(("sites_port", settings.sites_host, settings.sites_port))
    known: dict[tuple[str, int], str] = {}
    for name, host, port in doors:
        if port and (first := known.setdefault((host, port), name)) != name:
            return [f"`{first}` and `{name}` are the same port: each door needs its own"]
    return []


def unsafe(settings: Settings) -> list[str]:
    """List every reason why a process with these settings must not start (empty when safe)."""
    found: list[str] = []
    try:
        url = urlsplit(settings.public_url)
        _ = url.port
    except ValueError:
        return ["`public_url` must be an http or https address, such as https://models.example"]
    tls = settings.tls_certificate is not None
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        found.append("set both `tls_certificate` and `tls_key`, or neither")
    if (settings.sites_certificate is None) != (settings.sites_key is None):
        found.append("set both `sites_certificate` and `sites_key`, or neither")
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        found.append("`public_url` must be an http or https address without query")
    elif url.path not in {"", "/"}:
        found.append("`public_url` must have no path")
    elif url.scheme == "http" and not is_loopback(url.hostname):
        found.append("`public_url` must use https unless it is a loopback address")
    if not tls and not settings.trusted_proxies and not is_loopback(settings.host):
        found.append(
            "`host` is reachable from outside without TLS: set `tls_certificate` and `tls_key`, "
            "name the TLS proxy in `trusted_proxies`, or bind a loopback address"
        )
    if settings.grpc_port is not None and not (
        tls or settings.trusted_proxies or is_loopback(settings.grpc_host)
    ):
        found.append(
            "`grpc_host` is reachable from outside without TLS: set `tls_certificate` and "
            "`tls_key`, name the TLS proxy in `trusted_proxies`, or bind a loopback address"
        )
    if settings.tls_client_ca is not None and not tls:
        found.append("`tls_client_ca` needs `tls_certificate`: without TLS no certificate is shown")
    if settings.proxy_certificate_header and not settings.trusted_proxies:
        found.append(
            "`proxy_certificate_header` needs `trusted_proxies`: from anybody else it is not read"
        )
    if any(proxy in {"*", "0.0.0.0/0", "::/0"} for proxy in settings.trusted_proxies):
        found.append("`trusted_proxies` must name the proxies, not everybody")
    if settings.mode == "demo" and not (
        is_loopback(settings.host)
        and is_loopback(settings.sites_host)
        and is_loopback(settings.grpc_host)
    ):
        found.append("a demo folder is served on loopback only")
    if not settings.sites_certificate and not is_loopback(settings.sites_host):
        found.append("`sites_host` is reachable from outside without TLS: set `sites_certificate`")
    if settings.traces_endpoint is not None:
        found += _unsafe_collector(settings.traces_endpoint)
    found += [
        problem for trust in settings.issuers for problem in _unsafe_issuer(trust, url.scheme)
    ]
    if "plain" in settings.engines:
        found.append("`engines.plain` is the gateway's own runtime: choose another name")
    found += _same_port_twice(settings)
    if settings.keystore_unlock != "file" and settings.keystore_secret is None:
        found.append("`keystore_secret` must name the file of the passphrase or credential")
    return found


def _unsafe_issuer(trust: TrustedIssuer, scheme: str) -> list[str]:
    """Keys and tokens cross a network only encrypted; a trial on one machine has no network."""
    try:
        url = urlsplit(trust.issuer)
        local = scheme == "http" and is_loopback(url.hostname or "")
    except ValueError:
        return ["`issuer` of a trusted issuer must be an https address"]
    if url.scheme != "https" and not (url.scheme == "http" and local):
        return [
            "each trusted issuer must use https, unless it and `public_url` are loopback addresses"
        ]
    return []


def _unsafe_collector(address: str) -> list[str]:
    """Spans tell who is called how often: they cross a network only encrypted."""
    url = urlsplit(address)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username or url.fragment:
        return ["`traces_endpoint` must be an http or https address without user and fragment"]
    if url.scheme == "http" and not is_loopback(url.hostname):
        return [
            "`traces_endpoint` must use https unless it is a loopback address: run a collector "
            "beside the gateway, or name its certificate authority in `traces_ca`"
        ]
    if url.path in {"", "/"}:
        return ["`traces_endpoint` needs its path, such as `/v1/traces`"]
    return []


def in_environment(key: str) -> str | None:
    """Return what the environment alone says of a setting, for what no file may decide."""
    wanted = PREFIX + key.upper()
    return next((text for name, text in os.environ.items() if name.upper() == wanted), None) or None


def load_settings(data_dir: Path, **overrides: Any) -> Settings:
    """Read `DATA/sealgate.toml`, then the environment, then `overrides`.

    Args:
        data_dir: The data folder that `sealgate init` made.
        **overrides: Values of the command line; `None` means not given.

    Raises:
        ConfigurationError: When the file is missing, unreadable or unsafe; with line and column.
    """
    path = data_dir / SETTINGS_FILE
    try:
        values, text = parse_toml(path.read_bytes())
    except FileNotFoundError:
        raise _without_settings(data_dir) from None
    except TomlFault as fault:
        raise ConfigurationError(f"`{SETTINGS_FILE}`: {fault.what}", fault.advice) from None
    except OSError as fault:
        raise ConfigurationError(
            f"`{SETTINGS_FILE}` cannot be read ({os.strerror(fault.errno or 0).lower()})",
            f"run the gateway as the user whose folder it is: ls -ld '{data_dir}'",
        ) from None
    given = {key: value for key, value in overrides.items() if value is not None}
    from_environment = {
        name.removeprefix(PREFIX).lower()
        for name in os.environ
        if name.startswith(PREFIX) and name not in OF_THE_COMMAND_LINE
    }
    if unknown := from_environment - set(Settings.model_fields):
        first = min(unknown)
        near = meant(
            PREFIX + first.upper(), (PREFIX + name.upper() for name in Settings.model_fields)
        )
        raise ConfigurationError(f"`{PREFIX}{first.upper()}` is not a setting", near or REFERENCE)
    if os.environ.get("AUTHLIB_INSECURE_TRANSPORT"):
        raise ConfigurationError("`AUTHLIB_INSECURE_TRANSPORT` must not be set")
    kept = {key: value for key, value in values.items() if key not in from_environment}
    try:
        return Settings(**{**kept, "data_dir": data_dir, **given})
    except ValidationError as error:
        sources = {name: f"--{name.replace('_', '-')}" for name in given}
        sources |= {name: PREFIX + name.upper() for name in from_environment - set(given)}
        raise _explained(error, text, sources) from None


def _without_settings(data_dir: Path) -> ConfigurationError:
    """Tell a folder that was never made from one that lost its settings."""
    if data_dir.is_dir() and any(data_dir.iterdir()):
        return ConfigurationError(
            f"no `{SETTINGS_FILE}` in the data folder, which holds other things",
            "check that --data names the folder itself; if the file was lost, restore it from a "
            "backup: with another `public_url` or `audit_origin` tokens and logs do not fit",
        )
    return ConfigurationError(
        f"no `{SETTINGS_FILE}` in the data folder", f"sealgate init --data '{data_dir}'"
    )


def _explained(error: ValidationError, text: str, sources: Mapping[str, str]) -> ConfigurationError:
    """Name a bad key, where it is said and why it is bad, without its value.

    An unknown key goes first: one that is missing may be the one that was meant.
    """
    found = error.errors(include_input=False, include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    where = tuple(first["loc"])
    reason = str(first["msg"]).removeprefix("Value error, ")
    if not where:
        return ConfigurationError(reason, REFERENCE)
    key = ".".join(str(part) for part in where)
    source = sources.get(str(where[0]))
    place = None if source else place_of(text, where)
    if source is None and place is not None:
        source = f"`{SETTINGS_FILE}`, {place}"
    if first["type"] != "extra_forbidden":
        told = f"`{key}`: {reason}"
        return ConfigurationError(f"{told} ({source})" if source else told, REFERENCE)
    told = f"`{key}` is not a setting" + (f" ({source})" if source else "")
    return ConfigurationError(told, meant(str(where[-1]), _siblings(where)) or REFERENCE)


def _siblings(where: tuple[int | str, ...]) -> list[str]:
    """Return the keys that there are where one stands that is unknown."""
    if len(where) > 1 and where[0] == "issuers":
        within = "introspection" in where[:-1]
        return list((IntrospectionSettings if within else TrustedIssuer).model_fields)
    return list((EngineSettings if len(where) > 1 else Settings).model_fields)
