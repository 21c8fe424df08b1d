"""What issuers are asked over HTTP: the one place where identity calls others.

1. A redirect is not followed: whom to ask is configured, and nobody may send us elsewhere.
2. A body is cut off at a bound; that of a document is not read unless the status is 200.
3. Whatever goes wrong ends as `IssuerUnavailable`; nothing of the answer is in it.
"""

from __future__ import annotations

from typing import Final

import httpx

from gateway.identity.errors import IssuerUnavailable

MAX_DOCUMENT: Final = 262_144
"""Bytes of a discovery document or key set: large ones, with certificates, have 30,000."""
MAX_ANSWER: Final = 65_536
"""Bytes of an answer about a token: it holds what the token would."""


async def fetch_document(client: httpx.AsyncClient, url: str) -> bytes:
    """Read a small JSON document: no redirect, no more than `MAX_DOCUMENT` bytes.

    Args:
        client: Made by the composition root, with its own trust anchors and timeouts.
        url: From a trust entry or a verified discovery document.

    Raises:
        IssuerUnavailable: It cannot be had in full.
    """
    body = bytearray()
    try:
        async with client.stream("GET", url, follow_redirects=False) as answer:
            if answer.status_code != httpx.codes.OK:
                raise IssuerUnavailable
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT:
                    raise IssuerUnavailable
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as cause:
        raise IssuerUnavailable from cause
    return bytes(body)


async def post_form(
    client: httpx.AsyncClient, url: str, form: bytes, authorization: bytes
) -> tuple[int, bytes]:
    """Send a form and return the status and body of the answer: no redirect, bounded.

    Args:
        client: As for `fetch_document`.
        url: From a trust entry, or a discovery document that names the issuer's own origin.
        form: `application/x-www-form-urlencoded`.
        authorization: Of the gateway at the issuer.

    Raises:
        IssuerUnavailable: There is no answer, or none in full.
    """
    headers = {
        b"content-type": b"application/x-www-form-urlencoded",
        b"accept": b"application/json",
        b"authorization": authorization,
    }
    body = bytearray()
    try:
        async with client.stream(
            "POST", url, content=form, headers=headers, follow_redirects=False
        ) as answer:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise IssuerUnavailable
            return answer.status_code, bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as cause:
        raise IssuerUnavailable from cause
