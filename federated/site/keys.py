"""The site's node key: made here, kept here. Only its public half is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from federated.errors import SiteConfigInvalid


def generate(path: Path) -> str:
    """Make an EC P-384 key, write it to a new file with mode 0600, return the public line.

    Raises:
        SiteConfigInvalid: The file exists or cannot be written: a key is never overwritten.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise SiteConfigInvalid("the key file exists already and is left as it is") from None
    except OSError:
        raise SiteConfigInvalid("the key file cannot be written") from None
    return _line(key)


def public_line(path: Path) -> str:
    """Return the public half of the key in a file, OpenSSH form, without comment.

    Raises:
        SiteConfigInvalid: The file is absent, readable by others, or holds no EC P-384 key.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise SiteConfigInvalid("the key file can be read by others: set its mode to 0600")
        key = load_ssh_private_key(path.read_bytes(), None)
    except OSError:
        raise SiteConfigInvalid("the key file cannot be read") from None
    except (ValueError, UnsupportedAlgorithm, TypeError):
        raise SiteConfigInvalid("the key file holds no OpenSSH private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise SiteConfigInvalid("the key must be EC P-384: make one with `sealgate site keygen`")
    return _line(key)


def _line(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
