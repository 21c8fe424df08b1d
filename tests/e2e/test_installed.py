"""What is installed is whole, holds nothing else, and runs outside a checkout without root."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.e2e.house import PATIENCE, REPOSITORY, until
from tests.e2e.installed import Installed, build, installed
from tests.ports import free_port
from tests.tools import NOT_ALLOWED, require_tool

PACKAGES: Final = ("audit", "federated", "gateway", "policies")
BESIDE: Final = {"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml"}


def tracked() -> set[str]:
    """Every file of the packages that is in the repository."""
    command = [require_tool("git"), "ls-files", *PACKAGES]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        pytest.skip(f"{NOT_ALLOWED}this is no checkout")
    return {name for name in done.stdout.splitlines() if (REPOSITORY / name).exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


def held(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_a_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    names = held(wheel)
    assert names == tracked()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.startswith("gateway/storage/migrations/") for name in names)
    assert any(name.endswith(".cedarschema") for name in names)


def test_a_source_distribution_builds_the_same_wheel(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    names = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert names == tracked() | BESIDE | {"PKG-INFO", ".gitignore"}
    assert held(build("wheel", tmp_path / "out", source)) == held(wheel)


@dataclass(frozen=True)
class Running:
    """A gateway that was installed, founded and started at `::1` by who is not root.

    Attributes:
        port: Of its public door.
        data: Its folder.
    """

    home: Installed
    port: int
    data: Path
    environment: dict[str, str]

    def sealgate(self, *arguments: str, profile: Path | None = None) -> Any:
        named = profile or self.data / "admin.json"
        done = self.home.sealgate(*arguments, "--profile", str(named), "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(wheel: Path) -> Iterator[Installed]:
    if os.geteuid() == 0:
        require_tool("setpriv")
    with installed(wheel) as made:
        yield made


@pytest.fixture(scope="module")
def running(home: Installed) -> Iterator[Running]:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip(f"{NOT_ALLOWED}this machine has no IPv6")
    port, operations, sites = free_port(), free_port(), free_port()
    data = home.folder / "my data"
    url = f"http://[::1]:{port}"
    made = home.sealgate("init", "--data", str(data), "--public-url", url)
    assert made.returncode == 0, made.stderr
    environment = {
        "SEALGATE_OPERATIONS_HOST": "::1",
        "SEALGATE_OPERATIONS_PORT": str(operations),
        "SEALGATE_SITES_PORT": str(sites),
    }
    process = home.start("serve", "--data", str(data), **environment)
    try:
        ready = f"http://[::1]:{operations}/health/ready"

        def answers() -> bool:
            assert process.poll() is None, process.communicate()[0]
            try:
                return httpx.get(ready).is_success
            except httpx.TransportError:
                return False

        until(answers)
        yield Running(home, port, data, environment)
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_the_command_of_a_wheel_says_what_it_is(home: Installed) -> None:
    for words in (["--help"], ["--version"], ["model", "--help"], ["serve", "--help"]):
        done = home.sealgate(*words)
        assert done.returncode == 0, done.stderr
    assert "sealgate" in home.sealgate("--version").stdout


def test_it_is_not_the_checkout_that_runs(home: Installed) -> None:
    python = home.folder / "venv" / "bin" / "python"
    find = "import gateway, federated, audit, policies; print(gateway.__file__)"
    done = subprocess.run(
        [str(python), "-c", find], cwd=home.folder, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(home.folder)


def test_who_is_not_root_serves_with_a_home_that_cannot_be_written(running: Running) -> None:
    assert list(running.home.home.iterdir()) == []
    assert running.data.stat().st_uid != 0 or os.geteuid() != 0
    assert running.data.stat().st_mode & 0o077 == 0


def test_a_public_address_of_ipv6_is_listened_at_and_proves_tokens(running: Running) -> None:
    """It listened at 127.0.0.1, and the first command found nobody."""
    url = f"http://[::1]:{running.port}"
    metadata = httpx.get(f"{url}/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == url
    assert metadata["token_endpoint"] == f"{url}/oauth/token"
    assert running.sealgate("whoami")["issuer"] == url
    running.sealgate(
        *("tenant", "create", "ward", "--name", "Ward", "--region", "eu", "--purpose", "care")
    )
    out = running.home.folder / "app.json"
    running.sealgate(
        *("client", "create", "app", "--tenant", "ward", "--name", "App", "--role", "caller"),
        *("--scope", "infer", "--purpose", "care", "--out", str(out)),
    )
    assert running.sealgate("whoami", profile=out)["tenant"] == "ward", "by a token with a proof"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", running.port))


def test_a_second_replica_on_the_folder_is_refused_by_name_and_with_a_remedy(
    running: Running,
) -> None:
    done = running.home.sealgate("serve", "--data", str(running.data), **running.environment)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert "another gateway owns this data folder (process " in first
    assert second == "next: stop that one, or give this one its own --data"
    assert running.sealgate("whoami")["client_id"] == "admin", "the first one goes on"


def test_a_port_that_is_taken_is_told_to_who_cannot_see_who_has_it(
    running: Running, tmp_path: Path
) -> None:
    data = running.home.folder / "second"
    url = f"http://[::1]:{running.port}"
    assert running.home.sealgate("init", "--data", str(data), "--public-url", url).returncode == 0
    more = {**running.environment, "SEALGATE_OPERATIONS_PORT": str(free_port())}
    done = running.home.sealgate("serve", "--data", str(data), **more)
    assert done.returncode == 1
    assert f"error: `port`: port {running.port} is taken" in done.stderr
    assert "Traceback" not in done.stderr
