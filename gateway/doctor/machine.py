"""Looks at the machine: clock, disk, descriptors, environment, ports, certificates."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509

from gateway.doctor.findings import Ill
from gateway.settings import Settings

LEAST_FREE_BYTES: Final = 1 << 30
LEAST_FREE_SHARE: Final = 0.05
LEAST_DESCRIPTORS: Final = 4096
SOON_S: Final = 14 * 86_400
CLOCK_S: Final = 5.0
"""Tokens and proofs bear a little more; partners' sites bear no more than that."""
BUILT: Final = 1_780_000_000
"""Unix seconds; a clock before this is wrong."""
FORBIDDEN: Final = ("AUTHLIB_INSECURE_TRANSPORT",)
TELLING: Final = {"ORT_DISABLE_TELEMETRY": "0", "FLWR_TELEMETRY_ENABLED": "1"}
TIMEOUT_S: Final = 3.0


def versions() -> str:
    """Tell which Python runs, and refuse one that is too old or was never tried."""
    found = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise Ill(f"{found} was not tried", "use Python 3.11, 3.12 or 3.13", "warning")
    return found


def clock() -> str:
    """See whether the clock can be right."""
    if time.time() < BUILT:
        raise Ill("the clock is years behind", "set it: timedatectl set-ntp true")
    return "it can be right"


def disk(folder: Path) -> str:
    """See whether there is room on the data folder's disk, and for names of files."""
    found = os.statvfs(folder)
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    told = f"{free / (1 << 30):.1f} GiB free"
    if free < LEAST_FREE_BYTES or free < LEAST_FREE_SHARE * size:
        raise Ill(told, "make room: at the end of it nothing is recorded, so nothing is answered")
    if found.f_files and found.f_favail < 10_000:
        raise Ill("the disk has hardly any inodes left", "remove files that are not needed")
    return told


def descriptors() -> str:
    """See how many files and connections the process may have."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= most < LEAST_DESCRIPTORS:
        raise Ill(
            f"{most} descriptors at most", "raise the hard limit: LimitNOFILE=65536", "warning"
        )
    return "enough descriptors"


def environment(variables: Mapping[str, str]) -> str:
    """See whether a variable switches something off that must be on."""
    for name in FORBIDDEN:
        if variables.get(name):
            raise Ill(f"`{name}` is set", f"unset {name}")
    for name, value in TELLING.items():
        if variables.get(name) == value:
            raise Ill(f"`{name}={value}` asks for telemetry", f"unset {name}", "warning")
    return "nothing that matters is set"


def port(setting: str, host: str, number: int, *, runs: bool) -> str:
    """See whether a door can open, or is open where the gateway runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except PermissionError:
            raise Ill(f"port {number} needs privileges", f"set `{setting}` above 1023") from None
        except OSError:
            if runs:
                return f"{host}:{number} is open"
            raise Ill(
                f"{host}:{number} is taken by another process, or no address of this machine",
                f"set `{setting}` or the host beside it",
            ) from None
    if runs:
        raise Ill(f"the gateway runs, and {host}:{number} is not open", "see its log")
    return f"{host}:{number} is free"


def certificate(path: Path, key: Path | None, host: str | None) -> str:
    """See whether a certificate can be used, for how long, and for which name."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
    except FileNotFoundError:
        raise Ill(
            "the certificate or its key is missing", "see the paths in the settings"
        ) from None
    except (OSError, ValueError, ssl.SSLError):
        raise Ill(
            "the certificate and its key do not belong together, or cannot be read",
            "write the pair anew, both as PEM",
        ) from None
    left = found.not_valid_after_utc.timestamp() - time.time()
    if left < 0:
        raise Ill("the certificate has ended", "renew it, then send SIGHUP")
    if found.not_valid_before_utc.timestamp() > time.time():
        raise Ill("the certificate is not valid yet", "see the clock of this machine")
    if host is not None and not _names(found, host):
        raise Ill(f"the certificate does not name {host}", "have it made for `public_url`")
    if left < SOON_S:
        raise Ill(f"it ends in {int(left / 86_400)} days", "renew it, then send SIGHUP", "warning")
    return f"valid for {int(left / 86_400)} days"


def _names(found: x509.Certificate, host: str) -> bool:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    patterns = names.get_values_for_type(x509.DNSName)
    wild = "*." + host.partition(".")[2]
    return host in addresses or host in patterns or wild in patterns


def readiness(settings: Settings) -> str:
    """Ask a gateway that runs how it is; compare its clock with ours where a proxy tells it."""
    answer = _operations(settings, "/health/ready")
    if "date" in answer.headers:
        off = time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
        if abs(off) > CLOCK_S:
            raise Ill(f"this clock is {off:+.0f} s off", "set it: timedatectl set-ntp true")
    if not answer.is_success:
        raise Ill(f"not ready: {answer.text.strip()}", "see its log")
    return "ready"


def policy_sets(settings: Settings) -> str:
    """Ask a gateway that runs whose policy set it cannot use."""
    answer = _operations(settings, "/health/policies")
    if not answer.is_success:
        refused = ", ".join(line.partition(":")[0] for line in answer.text.splitlines())
        raise Ill(
            f"the stored policy set cannot be used, so everything is denied there: {refused}",
            "sealgate policy rescue TENANT",
        )
    return "every tenant's is in force"


def _operations(settings: Settings, path: str) -> httpx.Response:
    host = settings.operations_host
    url = f"http://[{host}]" if ":" in host else f"http://{host}"
    try:
        return httpx.get(f"{url}:{settings.operations_port}{path}", timeout=TIMEOUT_S)
    except httpx.HTTPError:
        raise Ill("the gateway does not answer at its operations port", "see its log") from None
