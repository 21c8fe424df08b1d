"""What a plain installation does not have: said with the command that brings it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from gateway.cli.failures import CommandFailed, ExitCode

EXTRAS: Final = {
    "flwr": "federated",
    "onnxmltools": "convert",
    "skl2onnx": "convert",
    "art": "screening",
    "sklearn": "screening",
    "psycopg": "postgres",
    "pyarrow": "parquet",
    "opentelemetry.sdk": "otel",
}
"""Package → the extra of this distribution that brings it."""


def require_extras(*packages: str) -> None:
    """Go on only where all packages are installed.

    Raises:
        CommandFailed: One is not; it says which extras bring all of them.
    """
    missing = [package for package in packages if not _installed(package)]
    if missing:
        raise lacking(missing)


def lacking(packages: list[str]) -> CommandFailed:
    """Return the failure of a command that needs these packages."""
    extras = ",".join(sorted({EXTRAS[package] for package in packages}))
    names = ", ".join(f"`{package}`" for package in packages)
    return CommandFailed(
        f"{names} is not installed", ExitCode.USAGE, f"pip install 'sealgate[{extras}]'"
    )


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
