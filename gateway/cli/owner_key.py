"""The owner's signing key, and the files that it signs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.artifacts.signature import MODEL_FILE, owner_statement
from gateway.cli.failures import CommandFailed

BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OwnerSignature:
    """What goes to the gateway: the bundle in base64 and the public key as PEM."""

    bundle: str
    public_key: str


def write_owner_key(path: Path) -> str:
    """Make an EC P-256 key in a new file of mode 0600 and return its public half as PEM.

    Raises:
        CommandFailed: There is a file, or it cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    except FileExistsError as cause:
        raise CommandFailed("there is a file of that name; nothing was changed") from cause
    except OSError as cause:
        raise CommandFailed("the key file cannot be written") from cause
    return _public_pem(key)


def sign_model(key_file: Path, model: Path, name: str) -> OwnerSignature:
    """Sign the file of a model.

    Raises:
        CommandFailed: The key or the file cannot be used.
    """
    key = _load(key_file)
    statement = owner_statement({MODEL_FILE: file_digest(model)}, key, name=name)
    bundle = base64.b64encode(json.dumps(statement).encode()).decode()
    return OwnerSignature(bundle, _public_pem(key))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hex.

    Raises:
        CommandFailed: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as cause:
        raise CommandFailed(f"{path} cannot be read") from cause
    return digest.hexdigest()


def _load(path: Path) -> ec.EllipticCurvePrivateKey:
    advice = f"sealgate model keygen --out {path}"
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CommandFailed("others may read the owner's key", advice=f"chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as cause:
        raise CommandFailed("the owner's key cannot be used", advice=advice) from cause
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CommandFailed("the owner's key is not on P-256", advice=advice)
    return key


def _public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
