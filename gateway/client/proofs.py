"""What a client signs: assertions of who it is (RFC 7523), proofs that a token is its (RFC 9449).

Pure: keys, times and random bytes are arguments. The gateway checks both.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from gateway.client.errors import ProfileInvalid

ASSERTION_SECONDS: Final = 60
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = ["Ed25519", "ES256"]


def load_key(jwk: dict[str, Any]) -> OKPKey | ECKey:
    """Return the private key of a JWK: Ed25519 or P-256.

    Raises:
        ProfileInvalid: It is none.
    """
    try:
        key = OKPKey.import_key(jwk) if jwk.get("kty") == "OKP" else ECKey.import_key(jwk)
        private = key.is_private
    except Exception as cause:
        raise _no_key() from cause
    if not private:
        raise _no_key()
    return key


def new_proof_key() -> OKPKey:
    """Make a key that tokens are bound to."""
    return OKPKey.generate_key("Ed25519")


def load_proof_key(jwk: dict[str, Any]) -> OKPKey:
    """Return the key that a token was bound to.

    Raises:
        ProfileInvalid: It is none.
    """
    key = load_key(jwk)
    if not isinstance(key, OKPKey):
        raise _no_key()
    return key


def assertion(key: OKPKey | ECKey, client_id: str, audience: str, now: int, jti: str) -> str:
    """Sign who the client is, for `private_key_jwt` (RFC 7523, section 3).

    Args:
        key: The client's own.
        client_id: Issuer and subject.
        audience: The gateway's public address, its issuer.
        now: Unix seconds.
        jti: Used once.
    """
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
        "jti": jti,
    }
    header: dict[str, Any] = {"alg": "Ed25519" if isinstance(key, OKPKey) else "ES256"}
    if key.kid:
        header["kid"] = key.kid
    return jwt.encode(header, claims, key, algorithms=ALGORITHMS)


def proof(
    key: OKPKey, method: str, url: str, now: int, jti: str, *, token: str = "", nonce: str = ""
) -> str:
    """Prove possession of a key for one request (RFC 9449, section 4.2).

    Args:
        key: The key that the token is bound to.
        method: Of the request.
        url: Of the request, without query and fragment, at the gateway's public address.
        now: Unix seconds.
        jti: Used once.
        token: The access token that goes with it; empty at the token endpoint.
        nonce: The last one that the gateway gave, or empty.
    """
    claims: dict[str, Any] = {"htm": method, "htu": url, "iat": now, "jti": jti}
    if token:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if nonce:
        claims["nonce"] = nonce
    header = {"alg": "Ed25519", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, algorithms=ALGORITHMS)


def _no_key() -> ProfileInvalid:
    return ProfileInvalid(
        "the key file holds no private key that can be used (JWK, Ed25519 or P-256)",
        "sealgate init and client create --jwks say what kind is meant",
    )
