"""A site's configuration: one TOML file, checked with errors that say what to change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import msgspec

from federated.errors import SiteConfigInvalid
from federated.site.keys import public_line
from gateway.toml_text import TomlFault, meant, parse_toml, place_of

MAX_FILE_BYTES = 64 * 1024
"""A dozen lines are expected."""

_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")
_AT_KEY: Final = re.compile(r"at `\$\.([^`.\[]*)")
ENDPOINT: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})\Z")


class SiteConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `sealgate site run` needs to know. Relative paths are relative to the file.

    Attributes:
        name: The site's name, as the convenor knows it.
        gateway: host:port of the gateway's site door (TLS).
        ca_file: Certificate of the authority that the gateway's certificate is from.
        key_file: The node key, from `sealgate site keygen`.
        data: The site's table: npz with `x` and `y`, or csv.
        state: Private folder for the site's processes.
        label: The csv column that holds the label.
        minimum_rows: With fewer rows the site takes no part.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,62}\Z")]
    gateway: str
    ca_file: Path
    key_file: Path
    data: Path
    state: Path
    label: str = "label"
    minimum_rows: Annotated[int, msgspec.Meta(ge=1)] = 20


def load(path: Path) -> SiteConfig:
    """Read and check a configuration file.

    Raises:
        SiteConfigInvalid: With what is wrong: in the file, or with what it points to.
    """
    config = parse(_read(path), path.parent)
    for name, file in (("ca_file", config.ca_file), ("data", config.data)):
        if not file.is_file():
            raise SiteConfigInvalid(f"`{name}` does not point to a file")
    if config.data.suffix not in {".npz", ".csv"}:
        raise SiteConfigInvalid("`data` must end in `.npz` or `.csv`")
    public_line(config.key_file)
    return config


def parse(data: bytes, folder: Path) -> SiteConfig:
    """Return the configuration in TOML `data`; relative paths are made relative to `folder`.

    Raises:
        SiteConfigInvalid: It is not TOML, or a setting is absent, unknown or not allowed.
    """
    try:
        values, text = parse_toml(data)
    except TomlFault as fault:
        raise SiteConfigInvalid(f"the site's file: {fault.what}", fault.advice) from None
    for name in ("ca_file", "key_file", "data", "state"):
        if isinstance(values.get(name), str):
            values[name] = folder.absolute() / values[name]
    try:
        config = msgspec.convert(values, SiteConfig, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(str(error), text) from None
    match = ENDPOINT.match(config.gateway)
    if match is None or not 0 < int(match[2]) < 65536:
        raise SiteConfigInvalid("`gateway` must be a host and a port, as in `gw.example:8443`")
    if any("\0" in str(path) for path in (config.ca_file, config.key_file, config.data)):
        raise SiteConfigInvalid("a path holds a zero byte")
    return config


def _explained(said: str, text: str) -> SiteConfigInvalid:
    """Name the bad key, its place, and the one that may have been meant."""
    said = said[:1].lower() + said[1:]
    match = _UNKNOWN.search(said) or _AT_KEY.search(said)
    place = place_of(text, (match[1],)) if match else None
    what = f"the file has a wrong setting: {said}" + (f" ({place})" if place else "")
    known = SiteConfig.__struct_fields__
    if match is None or match[1] in known:
        return SiteConfigInvalid(what, f"its settings are {', '.join(known)}")
    return SiteConfigInvalid(what, meant(match[1], known) or f"there are {', '.join(known)}")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SiteConfigInvalid("the configuration file is too large")
        return path.read_bytes()
    except OSError:
        raise SiteConfigInvalid("the configuration file cannot be read") from None
