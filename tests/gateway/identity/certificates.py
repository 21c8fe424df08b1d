"""Certificates that clients make for themselves, and the keys that they register for them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, RSAKey


class SelfSigned:
    """A certificate that its holder signed, of a P-256 or an RSA key."""

    def __init__(self, name: str = "client", kind: str = "EC") -> None:
        self.key: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if kind == "EC"
            else rsa.generate_private_key(65537, 2048)
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=36500))
            .sign(self.key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def escaped(self) -> bytes:
        """As nginx's `$ssl_client_escaped_cert` gives it."""
        return quote(self.pem.decode(), safe="").encode()

    @property
    def jwks(self) -> dict[str, Any]:
        """The key set to register."""
        kind = ECKey if isinstance(self.key, ec.EllipticCurvePrivateKey) else RSAKey
        pem = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {"keys": [kind.import_key(pem).as_dict(private=False)]}

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """Write both as PEM files and return their paths."""
        made, key = folder / f"{name}.crt", folder / f"{name}.key"
        made.write_bytes(self.pem)
        private = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key.write_bytes(private)
        return str(made), str(key)
