"""Access tokens as an attacker would like them, made with the gateway's own key where it helps."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e.house import House, keystore

Json = dict[str, Any]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(part: str) -> Json:
    value: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


class Forger:
    """Changes a good token of a house and signs it again."""

    def __init__(self, house: House) -> None:
        self._key = keystore(house).signing_key("token")
        self._good = house.token()
        self._header, self._claims = map(_decoded, self._good.split(".")[:2])

    def signed(
        self,
        key: Ed25519PrivateKey | None = None,
        *,
        header: Mapping[str, Any] | None = None,
        without: str = "",
        **claims: Any,
    ) -> str:
        """The good token with other claims, signed by the gateway's key or another."""
        head = {**self._header, **(header or {})}
        body = {k: v for k, v in {**self._claims, **claims}.items() if k != without}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{_encoded((key or self._key).sign(text.encode()))}"

    def all(self) -> dict[str, str]:
        """Every token that must not be accepted, by what is wrong with it."""
        now, stranger = int(time.time()), Ed25519PrivateKey.generate()
        header, claims, signature = self._good.split(".")
        raised = _encoded(json.dumps({**self._claims, "client_id": "clinic-owner"}).encode())
        unsigned = _encoded(json.dumps({"typ": "at+jwt", "alg": "none"}).encode())
        turned = ("B" if signature[0] == "A" else "A") + signature[1:]
        return {
            "expired": self.signed(iat=now - 900, nbf=now - 900, exp=now - 600),
            "not_yet": self.signed(iat=now + 600, nbf=now + 600, exp=now + 900),
            "endless": self.signed(exp=now + 10**9),
            "foreign_key": self.signed(stranger),
            "foreign_issuer": self.signed(stranger, iss="https://issuer.example"),
            "own_key_foreign_issuer": self.signed(iss="https://issuer.example"),
            "foreign_audience": self.signed(aud="https://other.example"),
            "foreign_tenant": self.signed(tenant="bank"),
            "unknown_client": self.signed(client_id="nobody", sub="nobody"),
            "no_audience": self.signed(without="aud"),
            "no_expiry": self.signed(without="exp"),
            "no_id": self.signed(without="jti"),
            "id_token": self.signed(header={"typ": "JWT"}),
            "unsigned": f"{unsigned}.{claims}.",
            "unsigned_with_signature": f"{unsigned}.{claims}.{signature}",
            "tampered_claims": f"{header}.{raised}.{signature}",
            "tampered_signature": f"{header}.{claims}.{turned}",
            "no_signature": f"{header}.{claims}.",
            "key_in_header": self.signed(
                stranger,
                header={
                    "jwk": {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "x": _encoded(stranger.public_key().public_bytes_raw()),
                    }
                },
            ),
            "no_jwt": "MARKER-b64bd2",
            "huge": "A" * 20_000,
        }
