"""Profiles: where a gateway is and who calls it.

A profile is a JSON file `{url, client_id, key_file | secret_file | session_file, ca_file?,
binding?}`. Paths are
relative to the profile.

Safety argument.
1. A file with a key or a secret is used only if nobody but its owner may read it.
2. No text of a file is in an error but names of the profile's keys: a secret that stands where a
   value should would be told. Where the text is no JSON, line and column say where.
3. A profile that says nothing of its binding is one of before there was a choice: not bound.
   Another word than `dpop` or `none` is refused, so that a typing error weakens nothing.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.client.errors import ProfileInvalid
from gateway.client.session import SessionFile

MAX_FILE: Final = 64 << 10
"""A profile, key or secret is far smaller."""
BINDINGS: Final = frozenset({"dpop", "none"})
_CREDENTIALS: Final = ("key_file", "secret_file", "session_file")
_KEYS: Final = {"url", "client_id", "ca_file", "binding", *_CREDENTIALS}
_ANOTHER: Final = "mend it, or name another profile"


@dataclass(frozen=True, slots=True)
class Profile:
    """Who calls which gateway.

    Attributes:
        url: Public address of the gateway, without a path.
        client_id: The registered client.
        key: The client's private key as a JWK, for `private_key_jwt`; None with a secret.
        secret: The client's secret; None with a key.
        ca_file: Certificate authority that the gateway's certificate is checked with.
        binding: `dpop` when tokens are bound to a key.
        session: Where a person is signed in, who uses the client; None for a client by itself.
    """

    url: str
    client_id: str
    key: dict[str, Any] | None = field(repr=False)
    secret: str | None = field(repr=False)
    ca_file: Path | None
    binding: str
    session: SessionFile | None = None


def load_profile(path: Path) -> Profile:
    """Read a profile and the credentials that it names.

    Raises:
        ProfileInvalid: It is missing, malformed, or others could read its credentials.
    """
    fields = _json_object(path, "the profile")
    if unknown := set(fields) - _KEYS:
        near = get_close_matches(min(unknown), sorted(_KEYS), n=1)
        what = f"the profile has unknown keys: {', '.join(sorted(unknown))}"
        raise ProfileInvalid(what, f"did you mean `{near[0]}`?") if near else _bad(what)
    if any(not isinstance(value, str) for value in fields.values()):
        raise _bad("every value of the profile must be text")
    if "url" not in fields or "client_id" not in fields:
        raise _bad("the profile needs `url` and `client_id`")
    if sum(name in fields for name in _CREDENTIALS) != 1:
        raise _bad("the profile needs either `key_file` or `secret_file`, or `session_file`")
    binding = fields.get("binding", "none")
    if "session_file" in fields and binding != "dpop":
        raise _bad("`binding` of a profile with `session_file` is `dpop`")
    if binding not in BINDINGS:
        raise _bad("`binding` of the profile is `dpop` or `none`")
    check_address(fields["url"])
    folder = path.parent
    key = secret = session = None
    if "key_file" in fields:
        key = _json_object(_private(folder / fields["key_file"]), "the key file")
    elif "session_file" in fields:
        session = SessionFile(folder / fields["session_file"])
    else:
        secret = _read(_private(folder / fields["secret_file"])).strip()
    return Profile(
        url=fields["url"].rstrip("/"),
        client_id=fields["client_id"],
        key=key,
        secret=secret,
        ca_file=folder / fields["ca_file"] if "ca_file" in fields else None,
        binding=binding,
        session=session,
    )


def check_address(url: str) -> None:
    """See whether an address can be that of a gateway.

    Raises:
        ProfileInvalid: It cannot.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in url
        _ = parts.port
    except ValueError:
        known = False
    if not known or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _bad("`url` must be an http or https address without a path")


def _private(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
    except OSError as cause:
        raise _bad("the file with the credentials cannot be read") from cause
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ProfileInvalid("others may read the file with the credentials", f"chmod 600 {path}")
    return path


def _json_object(path: Path, what: str) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except json.JSONDecodeError as cause:
        raise _bad(f"{what} is no JSON: see line {cause.lineno}, column {cause.colno}") from cause
    except (ValueError, RecursionError) as cause:
        raise _bad(f"{what} is no JSON") from cause
    if not isinstance(value, dict):
        raise _bad(f"{what} is no JSON object")
    return value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE).decode("utf-8-sig")
    except FileNotFoundError as cause:
        raise ProfileInvalid(
            f"there is no file {path}",
            "name your profile with --profile or SEALGATE_PROFILE",
        ) from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise _bad(f"{path} cannot be read") from cause


def _bad(what: str) -> ProfileInvalid:
    return ProfileInvalid(what, _ANOTHER)
