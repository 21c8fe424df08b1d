"""An authenticator in software, and the browser around it: says whatever a test lets it say."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

Signer = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PRESENT, VERIFIED, MADE = 0x01, 0x04, 0x40


def new_key(kind: str = "ES256") -> Signer:
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("RS256"):
        return rsa.generate_private_key(65537, int(kind.partition("-")[2] or 2048))
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authenticator:
    """One passkey. What is given in `says` replaces what an honest one would say.

    Attributes:
        origin: Of the page that the browser is at.
        key: Its private key.
        counter: Of signatures.
    """

    origin: str
    key: Signer = field(default_factory=new_key)
    counter: int = 0
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""

    def create(self, asked: dict[str, Any], **says: Any) -> dict[str, str]:
        """Answer `navigator.credentials.create` as the form that a page sends."""
        self.handle = websafe_decode(asked["user"]["id"])
        public = AttestedCredentialData.create(bytes(16), self.credential, self._public())
        data = self._data(asked["rp"]["id"], MADE, bytes(public), **says)
        made = AttestationObject.create("none", data, {})
        client = self._client("webauthn.create", asked, says)
        return self._form(client) | {"data": websafe_encode(bytes(made))}

    def get(self, asked: dict[str, Any], **says: Any) -> dict[str, str]:
        """Answer `navigator.credentials.get` likewise."""
        self.counter += 1 if self.counter else 0
        client = self._client("webauthn.get", asked, says)
        data = self._data(asked["rpId"], 0, b"", **says)
        signed = self._sign(bytes(data) + hashlib.sha256(client).digest())
        return self._form(client) | {
            "data": websafe_encode(bytes(data)),
            "signature": websafe_encode(signed),
            "handle": websafe_encode(says.get("handle", self.handle)),
        }

    def _client(self, kind: str, asked: dict[str, Any], says: dict[str, Any]) -> bytes:
        said = {
            "type": kind,
            "challenge": asked["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
        }
        return json.dumps(said | says.get("client", {})).encode()

    def _data(self, party: str, more: int, credential: bytes, **says: Any) -> AuthenticatorData:
        flags = says.get("flags", PRESENT | VERIFIED) | more
        digest = hashlib.sha256(says.get("rp", party).encode()).digest()
        made: AuthenticatorData = AuthenticatorData.create(digest, flags, self.counter, credential)
        return made

    def _form(self, client: bytes) -> dict[str, str]:
        name = websafe_encode(self.credential)
        return {"credential": name, "client_data": websafe_encode(client)}

    def _public(self) -> CoseKey:
        kinds: Any = ES256
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            kinds = EdDSA
        elif isinstance(self.key, rsa.RSAPrivateKey):
            kinds = RS256
        made: CoseKey = kinds.from_cryptography_key(self.key.public_key())
        return made

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
