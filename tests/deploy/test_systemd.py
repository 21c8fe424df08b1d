"""The systemd units parse, are confined, name settings that exist, and systemd finds no fault."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.settings import Settings, load_settings
from tests.deploy.lockfile import ROOT
from tests.tools import require_tool

STAYING = ("sealgate.service", "sealgate-site@.service")
UNITS = (*STAYING, "sealgate-backup.service")
# Tenths of systemd's own measure, where 100 is unconfined.
EXPOSURE = "25"


def entries(unit: str) -> list[tuple[str, str, str]]:
    """Section, key and value of each line of a unit; keys may repeat."""
    found, section = [], ""
    for line in (ROOT / "deploy/systemd" / unit).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, mark, value = line.partition("=")
            assert mark, line
            found.append((section, key, value))
    return found


def service(unit: str) -> dict[str, str]:
    return {key: value for section, key, value in entries(unit) if section == "Service"}


@pytest.mark.parametrize("unit", UNITS)
def test_memory_reaches_no_disk(unit: str) -> None:
    given = service(unit)
    assert given["LimitCORE"] == "0"
    assert given["MemorySwapMax"] == "0"


@pytest.mark.parametrize("unit", UNITS)
def test_it_has_no_rights_to_speak_of(unit: str) -> None:
    given = service(unit)
    assert given["User"] != "root"
    assert given["CapabilityBoundingSet"] == ""
    assert given["NoNewPrivileges"] == "yes"
    assert given["ProtectSystem"] == "strict"
    assert given["MemoryDenyWriteExecute"] == "yes"


def test_the_sandbox_may_enter_its_namespaces() -> None:
    assert set(service("sealgate.service")["RestrictNamespaces"].split()) == {"user", "net"}


@pytest.mark.parametrize("unit", UNITS)
def test_each_variable_is_a_setting(unit: str) -> None:
    lines = [value for _, key, value in entries(unit) if key == "Environment"]
    names = {line.partition("=")[0].removeprefix("SEALGATE_").lower() for line in lines}
    assert names <= set(Settings.model_fields)


def test_the_gateway_starts_with_the_credential_that_the_unit_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = service("sealgate.service")["LoadCredential"].partition(":")[0]
    for _, key, value in entries("sealgate.service"):
        if key == "Environment":
            name, _, given = value.partition("=")
            monkeypatch.setenv(name, given.replace("%d", "/run/credentials/sealgate.service"))
    made_by_init = 'public_url = "https://models.example.org"\naudit_origin = "log.example.org"\n'
    (tmp_path / "sealgate.toml").write_text(made_by_init)
    # The sites' door needs its certificate only off loopback, and stays on it unless set.
    secret = load_settings(tmp_path, trusted_proxies=("127.0.0.1",)).keystore_secret
    assert secret is not None
    assert secret.name == loaded


@pytest.mark.parametrize("unit", STAYING)
def test_it_writes_to_its_own_folder_only(unit: str) -> None:
    given = service(unit)
    folder = f"/var/lib/{given['StateDirectory']}"
    assert given["WorkingDirectory"] == folder
    assert f" {folder}" in given["ExecStart"]
    assert "ReadWritePaths" not in given


def test_a_backup_goes_to_a_folder_that_is_not_the_gateways() -> None:
    given = service("sealgate-backup.service")
    own, backups = (f"/var/lib/{name}" for name in given["StateDirectory"].split())
    assert given["ExecStart"].endswith(f"--data {own}/data --to {backups}")
    assert not Path(backups).is_relative_to(own)
    assert given["LoadCredential"] == service("sealgate.service")["LoadCredential"]


@pytest.mark.e2e
def test_the_timer_starts_the_backup_daily() -> None:
    timer = {key: value for _, key, value in entries("sealgate-backup.timer")}
    assert timer["Persistent"] == "true"
    analyze = require_tool("systemd-analyze")
    words = [analyze, "calendar", "--iterations=2", timer["OnCalendar"]]
    assert subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """Copies of the units whose program is one that exists here."""
    for unit in UNITS:
        text = (ROOT / "deploy/systemd" / unit).read_text()
        text, count = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text)
        assert count == 1
        (tmp_path / unit).write_text(text)
    return tmp_path


@pytest.mark.e2e
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault(unit: str, runnable: Path) -> None:
    analyze = require_tool("systemd-analyze")
    found = subprocess.run(
        [analyze, "verify", "--man=no", str(runnable / unit)], capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.e2e
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_calls_it_little_exposed(unit: str, runnable: Path) -> None:
    analyze = require_tool("systemd-analyze")
    found = subprocess.run(
        [
            *(analyze, "security", "--offline=true", "--no-pager"),
            *(f"--threshold={EXPOSURE}", str(runnable / unit)),
        ],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-300:]
