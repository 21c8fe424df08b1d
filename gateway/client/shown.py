"""The key of a certificate that a client shows in TLS: what is registered, and what is compared."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey


def key_of_certificate(der: bytes) -> ECKey | RSAKey | OKPKey | None:
    """Return the public key of a certificate (DER), or None where that is of no kind we know."""
    try:
        public = x509.load_der_x509_certificate(der).public_key()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, UnsupportedAlgorithm):
        return None
    for kind in (ECKey, RSAKey, OKPKey):
        try:
            return kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
    return None
