"""Whose signature on a gateway's certificate is trusted, and what to do where one is not.

Safety argument.
1. A certificate is always checked. Nothing here goes on without that, and no advice is to.
2. What a network that inspects TLS shows in place of the gateway's certificate is trusted only
   where its authority was named: `ca_file` of the profile, else `SSL_CERT_FILE` or `SSL_CERT_DIR`,
   else the public ones.
3. An address without TLS shows no certificate, so nobody's is trusted for it.

A bundle of public authorities takes as long to read as the rest of a short command, so one is read
once while its file stays the same. Clients may share what comes of it: nothing is changed in it.
"""

from __future__ import annotations

import os
import ssl
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import httpx

from gateway.client.errors import CertificateRefused, ProfileInvalid
from gateway.client.profile import Profile

FILE: Final = "SSL_CERT_FILE"
FOLDER: Final = "SSL_CERT_DIR"
_MOST_FILES: Final = 8
"""Files of authorities that are kept: a program has a few gateways."""
_NAME_IT: Final = (
    "if the gateway has a certificate authority of its own, or your network inspects TLS: "
    f"{FILE}=/path/of/its-certificate.pem, or `ca_file` of the profile"
)
# X509_verify_cert_error_string(3).
_NOT_YET: Final = 9
_EXPIRED: Final = 10
_OTHER_NAMES: Final = frozenset({62, 64})
_CHAIN: Final = 16
"""Causes that are followed: an exception may be its own, by way of others."""


def trust_of(profile: Profile) -> ssl.SSLContext:
    """Return what a gateway's certificate is checked with, for `verify=` of an httpx client.

    Raises:
        ProfileInvalid: `ca_file` of the profile, or a variable, names what cannot be used.
    """
    if profile.ca_file is not None:
        return _trusting("`ca_file` of the profile", profile.ca_file)
    return _nobody() if profile.url.startswith("http://") else public_trust()


def public_trust() -> ssl.SSLContext:
    """Return what certificates are checked with where no profile names an authority.

    Raises:
        ProfileInvalid: A variable names what cannot be used.
    """
    check_variables()
    if named := os.environ.get(FILE):
        return _trusting(f"`{FILE}`", Path(named))
    if named := os.environ.get(FOLDER):
        return ssl.create_default_context(capath=named)
    return _public()


def authorities_of(profile: Profile) -> Path | None:
    """Return the file of the authorities that are named; None for the public ones.

    Raises:
        ProfileInvalid: A variable names what cannot be used.
    """
    if profile.ca_file is not None:
        return profile.ca_file
    check_variables()
    named = os.environ.get(FILE)
    return Path(named) if named else None


def check_variables() -> None:
    """See whether the variables by which authorities are named can be used.

    Raises:
        ProfileInvalid: One cannot.
    """
    if named := os.environ.get(FILE):
        _trusting(f"`{FILE}`", Path(named))
    if (named := os.environ.get(FOLDER)) and not Path(named).is_dir():
        raise ProfileInvalid(f"`{FOLDER}` names no folder", f"mend it, or: unset {FOLDER}")


def _trusting(what: str, path: Path) -> ssl.SSLContext:
    try:
        now = path.stat()
        return _read(str(path), (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns))
    except OSError as cause:  # also what TLS says of it
        raise ProfileInvalid(
            f"{what} cannot be used", f"name a PEM file with certificates: {path}"
        ) from cause


@lru_cache(_MOST_FILES)
def _read(path: str, _stamp: tuple[int, ...]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=path)


@cache
def _public() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


@cache
def _nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks, and has no authority to check with


def certificate_fault(fault: BaseException) -> CertificateRefused | None:
    """Return what is wrong with a certificate, if that is why a call failed.

    Args:
        fault: What a library raised.
    """
    cause: BaseException | None = fault
    for _ in range(_CHAIN):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explained(cause)
        if cause is None:
            return None
        cause = cause.__cause__ or cause.__context__
    return None


def _explained(fault: ssl.SSLCertVerificationError) -> CertificateRefused:
    if fault.verify_code == _EXPIRED:
        return CertificateRefused(
            "the gateway's certificate has ended", "tell who runs it, or mend this machine's clock"
        )
    if fault.verify_code == _NOT_YET:
        return CertificateRefused(
            "the gateway's certificate is not valid yet", "mend this machine's clock"
        )
    if fault.verify_code in _OTHER_NAMES:
        return CertificateRefused(
            "the certificate is for another name than the address of the gateway",
            "use an address that the certificate names, in `url` of the profile",
        )
    return CertificateRefused(
        "the gateway's certificate is signed by nobody whom this machine trusts", _NAME_IT
    )
