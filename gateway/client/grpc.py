"""Tokens for gRPC, through the library's own place for them; tritonclient and kserve take these.

    creds = channel_credentials("app.json")
    client = tritonclient.grpc.InferenceServerClient("models.example:8001", creds=creds)

Safety argument.
1. gRPC hands tokens over only on a channel that it holds for private: TLS, or a connection within
   this machine. `channel_credentials` makes the second only for an address on loopback.
2. A proof is for one method at the gateway's public address. It counts for its call or stream.
3. What goes wrong ends the call with a text of ours, which holds no token.

gRPC tells no answer to who gave the token: one that was revoked is replaced when its time ends, and
a clock that is off is not corrected.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx

from gateway.client.auth import SealgateAuth
from gateway.client.certificates import authorities_of, certificate_fault
from gateway.client.errors import ClientFault, ProfileInvalid


class SealgateCallCredentials(grpc.AuthMetadataPlugin):  # type: ignore[misc]
    """Gives each call its token and proof.

    Args:
        auth: Whose tokens.
    """

    def __init__(self, auth: SealgateAuth) -> None:
        self._auth = auth
        self._http = auth.http_client()

    def __call__(self, context: Any, callback: Callable[[Any, Exception | None], None]) -> None:
        """Hand over the metadata of one call; gRPC calls this on a thread of its own."""
        # Of a channel within this machine the address has no scheme; a service has no slash.
        path = f"/{context.service_url.rpartition('/')[2]}/{context.method_name}"
        try:
            headers = self._auth.headers(self._http, "POST", path)
        except ClientFault as fault:
            callback((), fault)
        except httpx.HTTPError as fault:
            silent = ClientFault("the gateway does not answer", "check that it runs")
            callback((), certificate_fault(fault) or silent)
        else:
            callback(tuple(headers.items()), None)


def channel_credentials(auth: SealgateAuth | str | Path) -> Any:
    """Return `grpc.ChannelCredentials` for one gateway.

    With an `https` profile the channel is TLS, checked with its `ca_file` or `SSL_CERT_FILE`. With
    an `http` one it is in clear, and both ends have to be on this machine.

    Args:
        auth: A profile file, or what was made of one.

    Raises:
        ProfileInvalid: The profile cannot be used, or is for another machine and without TLS.
    """
    known = auth if isinstance(auth, SealgateAuth) else SealgateAuth.from_profile(auth)
    calls = grpc.metadata_call_credentials(SealgateCallCredentials(known), name="sealgate")
    profile = known.profile
    if profile.url.startswith("https://"):
        pem = _certificates(authorities_of(profile))
        return grpc.composite_channel_credentials(grpc.ssl_channel_credentials(pem), calls)
    if not _on_loopback(urlsplit(profile.url).hostname or ""):
        raise ProfileInvalid(
            "gRPC gives no token to another machine without TLS", "use the https address"
        )
    return grpc.composite_channel_credentials(grpc.local_channel_credentials(), calls)


def _certificates(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as cause:
        raise ProfileInvalid(
            "`ca_file` of the profile cannot be read", "name a PEM file with certificates"
        ) from cause


def _on_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
