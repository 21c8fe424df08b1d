"""An issuer that is trusted for nobody is told at the start."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from gateway.composition.foundation import open_foundation
from gateway.composition.trusted_names import warn_of_nobody
from gateway.settings import SETTINGS_FILE, load_settings
from tests.gateway.place import ENVIRONMENT, found_folder

ISSUER = """
[[issuers]]
issuer = "https://idp.example"
audience = "gate"
tenants = ["platform", "acme"]
clients = {there = "admin", app = "acme-ap"}
"""


def test_an_issuer_for_a_tenant_or_client_that_does_not_exist_is_told(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    found_folder(data, 0, {"port": 0})
    with (data / SETTINGS_FILE).open("a") as file:
        file.write(ISSUER)
    with open_foundation(load_settings(data), ENVIRONMENT) as base, capture_logs() as told:
        warn_of_nobody(base)
    assert told == [
        {
            "event": "issuer_for_nobody",
            "log_level": "warning",
            "issuer": "https://idp.example",
            "tenants": ["acme"],
            "clients": ["acme-ap"],
        }
    ]
