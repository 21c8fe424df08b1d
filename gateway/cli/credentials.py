"""Tokens for the command line: client credentials, and proofs of possession where wanted.

Assertions are RFC 7523, proofs RFC 9449; both are made here, as a client makes them, and checked by
the gateway.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.profile import Profile

ASSERTION_SECONDS: Final = 60
EARLY_SECONDS: Final = 30
"""A token is renewed this long before it ends, so that none ends under way."""
ALGORITHMS: Final = ["Ed25519", "ES256"]


class Credentials:
    """Gets tokens and signs requests with them.

    Args:
        profile: Who calls.
        clock: Unix seconds.
        random_bytes: For identifiers.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._profile = profile
        self._clock = clock
        self._random_bytes = random_bytes
        bound = profile.binding == "dpop"
        self._proof_key = OKPKey.generate_key("Ed25519") if bound else None
        self._token = ""
        self._ends = 0.0

    def headers(self, client: httpx.Client, method: str, path: str) -> dict[str, str]:
        """Return the headers of one authenticated request.

        Raises:
            CommandFailed: The gateway gives no token.
        """
        if self._clock() >= self._ends - EARLY_SECONDS:
            self._fetch(client)
        if self._proof_key is None:
            return {"authorization": f"Bearer {self._token}"}
        proof = self._proof(method, path, self._token)
        return {"authorization": f"DPoP {self._token}", "dpop": proof}

    def _fetch(self, client: httpx.Client) -> None:
        form = {"grant_type": "client_credentials", "client_id": self._profile.client_id}
        headers = {}
        if self._profile.key is not None:
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form["client_assertion"] = self._assertion(self._profile.key)
        else:
            pair = f"{self._profile.client_id}:{self._profile.secret}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
            del form["client_id"]
        if self._proof_key is not None:
            headers["dpop"] = self._proof("POST", "/oauth/token", None)
        answer = client.post("/oauth/token", data=form, headers=headers)
        body = answer.json() if answer.is_success else {}
        if "access_token" not in body:
            raise CommandFailed(
                "the gateway does not accept these credentials",
                ExitCode.SIGN_IN,
                "check the profile, and whether the client is still registered",
            )
        self._token = body["access_token"]
        self._ends = self._clock() + float(body.get("expires_in", 0))

    def _assertion(self, jwk: dict[str, Any]) -> str:
        key = _load(jwk)
        now = int(self._clock())
        claims = {
            "iss": self._profile.client_id,
            "sub": self._profile.client_id,
            "aud": self._profile.url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": self._random_bytes(16).hex(),
        }
        header: dict[str, Any] = {"alg": _algorithm(key)}
        if key.kid:
            header["kid"] = key.kid
        return jwt.encode(header, claims, key, algorithms=ALGORITHMS)

    def _proof(self, method: str, path: str, token: str | None) -> str:
        assert self._proof_key is not None
        claims: dict[str, Any] = {
            "htm": method,
            "htu": self._profile.url + path,
            "iat": int(self._clock()),
            "jti": self._random_bytes(16).hex(),
        }
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        header = {
            "alg": "Ed25519",
            "typ": "dpop+jwt",
            "jwk": self._proof_key.as_dict(private=False),
        }
        return jwt.encode(header, claims, self._proof_key, algorithms=ALGORITHMS)


def _load(jwk: dict[str, Any]) -> OKPKey | ECKey:
    try:
        return OKPKey.import_key(jwk) if jwk.get("kty") == "OKP" else ECKey.import_key(jwk)
    except Exception as cause:
        raise CommandFailed(
            "the key file holds no private key that can be used (JWK, Ed25519 or P-256)",
            ExitCode.SIGN_IN,
        ) from cause


def _algorithm(key: Key) -> str:
    return "Ed25519" if isinstance(key, OKPKey) else "ES256"
