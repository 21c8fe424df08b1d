"""Forms of people: what a browser holds, and whether a form comes from a page that it was given.

Safety argument:
1. Cookies have the prefix `__Host-`: no other host and no path sets or sees them; scripts do not
   read them; a request that another site makes, but for following a link, is without them.
2. A form is taken with a token that follows from both cookies: the one of the page and the one of
   the sign-in. Another site cannot read either, nor plant one. Besides, the browser must say that
   the form comes from our origin (`Origin`), which scripts cannot forge.
3. A form is bounded in bytes, fields and time; a field that is repeated is refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from gateway.errors import InvalidRequest
from gateway.identity.errors import FormRefused

SIGN_IN_COOKIE: Final = "__Host-sealgate"
PAGE_COOKIE: Final = "__Host-sealgate-page"
TOKEN_FIELD: Final = "page"  # noqa: S105 - the name of a field
MAX_FORM: Final = 16_384
"""Bytes: a request of an application, 4,096 characters, is the longest field."""
MAX_FIELDS: Final = 32
FORM_SECONDS: Final = 10.0
"""Longest wait for a form to arrive."""
MAX_COOKIE: Final = 128
"""Characters of a value; ours have 43."""
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


def origin_of(url: str) -> str:
    """Return the origin of a URL, as browsers write it (RFC 6454 section 6.2)."""
    parts = urlsplit(url)
    named = parts.netloc.lower()
    for scheme, standard in (("http", ":80"), ("https", ":443")):
        if parts.scheme == scheme:
            named = named.removesuffix(standard)
    return f"{parts.scheme}://{named}"


def has_name(url: str) -> bool:
    """Tell whether a URL has a host with a name, which passkeys are for (WebAuthn: a domain)."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return False


def cookie(request: Request, name: str) -> str:
    """Return the value of a cookie; empty where there is none, or two that could differ."""
    found: list[str] = []
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                found.append(value)
    return found[0] if len(found) == 1 and len(found[0]) <= MAX_COOKIE else ""


def new_page_secret() -> str:
    """Return what the cookie of pages is to hold."""
    return secrets.token_urlsafe(32)


def token_of(page: str, sign_in: str) -> str:
    """Return the token of forms, for what the two cookies hold."""
    said = f"sealgate form\n{page}\n{sign_in}".encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(hashlib.sha256(said).digest()).rstrip(b"=").decode()


def set_cookie(response: Response, name: str, value: str) -> None:
    """Let a browser hold a secret until it is closed."""
    response.headers.append("set-cookie", f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax")


def drop_cookie(response: Response, name: str) -> None:
    """Let a browser forget a secret."""
    gone = f"{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    response.headers.append("set-cookie", gone)


async def read_form(request: Request, origin: str) -> dict[str, str]:
    """Read a form that comes from a page of ours.

    Args:
        request: The request.
        origin: Ours.

    Raises:
        FormRefused: It comes from elsewhere, or the page was too old.
        InvalidRequest: It is no form, too large, too slow, malformed or repeats a field.
    """
    if request.headers.getlist("origin") != [origin]:
        raise FormRefused("the form did not come from a page of this gateway")
    fields = await _fields(request)
    page = cookie(request, PAGE_COOKIE)
    wanted = token_of(page, cookie(request, SIGN_IN_COOKIE))
    given = fields.pop(TOKEN_FIELD, "").encode("utf-8", "surrogatepass")
    if not page or not hmac.compare_digest(given, wanted.encode()):
        raise FormRefused
    return fields


async def _fields(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _FORM_TYPE:
        raise InvalidRequest("a form is required")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FORM:
                    raise InvalidRequest("the form is too large")
    except (TimeoutError, ClientDisconnect) as cause:
        raise InvalidRequest("the form did not arrive") from cause
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as cause:
        raise InvalidRequest("the form is malformed") from cause
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequest("a field is repeated")
    return fields
