"""Whose signature on a gateway's certificate is trusted, and what to do where one is not.

Safety argument.
1. A certificate is always checked. Nothing here goes on without that, and no advice is to.
2. What a network that inspects TLS shows in place of the gateway's certificate is trusted only
   where its authority was named: `ca_file` of the profile, else `SSL_CERT_FILE` or `SSL_CERT_DIR`,
   else the public ones.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

from gateway.client.errors import CertificateRefused, ProfileInvalid
from gateway.client.profile import Profile

FILE: Final = "SSL_CERT_FILE"
FOLDER: Final = "SSL_CERT_DIR"
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


def trust_of(profile: Profile) -> ssl.SSLContext | bool:
    """Return what a gateway's certificate is checked with, for `verify=` of an httpx client.

    Raises:
        ProfileInvalid: `ca_file` of the profile, or a variable, names what cannot be used.
    """
    if profile.ca_file is not None:
        return _trusting("`ca_file` of the profile", profile.ca_file)
    check_variables()
    return True


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
    """See whether the variables by which authorities are named can be used; httpx reads them, too.

    Raises:
        ProfileInvalid: One cannot.
    """
    if named := os.environ.get(FILE):
        _trusting(f"`{FILE}`", Path(named))
    if (named := os.environ.get(FOLDER)) and not Path(named).is_dir():
        raise ProfileInvalid(f"`{FOLDER}` names no folder", f"mend it, or: unset {FOLDER}")


def _trusting(what: str, path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as cause:  # also what TLS says of it
        raise ProfileInvalid(
            f"{what} cannot be used", f"name a PEM file with certificates: {path}"
        ) from cause


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
