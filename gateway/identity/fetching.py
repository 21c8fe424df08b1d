"""Small JSON documents of issuers, over HTTP: the one place where identity calls others.

1. A redirect is not followed: whom to ask is configured, and nobody may send us elsewhere.
2. A body is cut off at a bound, and not read at all unless the status is 200.
3. Whatever goes wrong ends as `IssuerUnavailable`; nothing of the answer is in it.
"""

from __future__ import annotations

from typing import Final

import httpx

from gateway.identity.errors import IssuerUnavailable

MAX_DOCUMENT: Final = 262_144
"""Bytes of a discovery document or key set: large ones, with certificates, have 30,000."""


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
