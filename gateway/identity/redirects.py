"""Where a browser may be sent with an authorization code. Pure.

1. An address is one that was registered, character for character (RFC 9700 section 4.1.3). The port
   of a loopback address alone is free: a native client learns it when it starts (RFC 8252
   section 7.3).
2. It is `https`, or `http` on a loopback address, or of a private scheme with a dot (RFC 8252
   section 7.1); it has no fragment, no user and no wildcard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from gateway.identity.errors import RegistrationRefused

MAX_REDIRECTS: Final = 8
MAX_REDIRECT: Final = 512
"""Characters of an address."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_PRIVATE: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
_PORT: Final = re.compile(r":[0-9]{1,5}\Z")


def check_redirects(addresses: Iterable[str]) -> None:
    """Refuse addresses that no code may be sent to.

    Raises:
        RegistrationRefused: One breaks a rule, or there are too many.
    """
    given = list(addresses)
    if len(given) > MAX_REDIRECTS:
        raise RegistrationRefused(f"`redirect_uris` holds {MAX_REDIRECTS} addresses at most")
    if not all(map(_is_safe, given)):
        raise RegistrationRefused(
            "`redirect_uris` must be https, or http on 127.0.0.1 or [::1], or of a private scheme "
            "such as com.example.app, without a fragment"
        )


def is_redirect_of(address: str, registered: Iterable[str]) -> bool:
    """Tell whether an address of a request is one that was registered."""
    known = list(registered)
    if address in known:
        return True
    bare = _without_port(address)
    return bare is not None and any(_without_port(one) == bare for one in known)


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = address.isascii() and address.isprintable() and len(address) <= MAX_REDIRECT
    if not plain or not re.fullmatch(r"[^\s<>\"\\^`{|}*#]+", address) or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme == "http":
        return host in LOOPBACK or host == "localhost"
    return _PRIVATE.fullmatch(parts.scheme) is not None and not parts.netloc


def _without_port(address: str) -> str | None:
    """Return a loopback address without its port; None for any other."""
    if not _is_safe(address):
        return None
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        return None
    return parts._replace(netloc=_PORT.sub("", parts.netloc)).geturl()
