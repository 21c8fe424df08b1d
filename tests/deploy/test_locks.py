"""The locks pin by hash, name no address, and hold all that an image imports."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.lockfile import LOCKS, ROOT, canonical, names, read

OURS = {"audit", "policies", "gateway", "federated"}
# Processes of the demo with the `screening` extra; no image runs them.
OF_THE_DEMO = ROOT / "gateway/demo"
# An owner's process with the `convert` extra; no image runs it.
OF_OWNERS = ROOT / "gateway/conversion"
# For applications that have these libraries; no image runs them.
OF_OTHERS_CLIENTS = {ROOT / "gateway/client/triton.py", ROOT / "gateway/client/grpc.py"}
OF_AN_EXTRA = {"psycopg", "pyarrow"}
"""What is done without where its extra is not installed; the gateway's image has it."""


@pytest.mark.parametrize("lock", LOCKS)
def test_each_requirement_has_hashes(lock: str) -> None:
    locked = read(lock)
    assert locked
    assert not [one.name for one in locked if not one.hashes]


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_an_address_or_an_option(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]


def imported(*packages: str) -> Iterator[str]:
    """Top-level modules that the packages import anywhere, lazily too."""
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            at_home = path.is_relative_to(OF_THE_DEMO) or path.is_relative_to(OF_OWNERS)
            if not at_home and path not in OF_OTHERS_CLIENTS:
                yield from imports_of(path)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    ("lock", "packages"),
    [
        ("deploy/gateway.lock", ("audit", "policies", "gateway")),
        ("deploy/site.lock", ("audit", "policies", "gateway", "federated")),
    ],
)
def test_an_image_can_import_what_its_code_names(lock: str, packages: tuple[str, ...]) -> None:
    providers = importlib.metadata.packages_distributions()
    foreign = set(imported(*packages)) - OURS - set(sys.stdlib_module_names)
    held = names(lock)
    if lock == "deploy/site.lock":
        foreign -= OF_AN_EXTRA
    unmet = {
        module
        for module in foreign
        if not {canonical(name) for name in providers.get(module, [])} & held
    }
    assert not unmet


@pytest.mark.parametrize("lock", ["deploy/gateway.lock", "deploy/site.lock"])
def test_a_lock_is_closed_so_that_no_deps_is_enough(lock: str) -> None:
    held = names(lock)
    missing = set()
    looked_at = 0
    for locked in read(lock):
        try:
            installed = importlib.metadata.distribution(locked.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform or Python
        if installed.version != locked.version:
            continue
        looked_at += 1
        for text in installed.requires or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                missing |= {canonical(need.name)} - held
    assert looked_at > len(held) / 2
    assert not missing


def test_the_gateway_s_image_is_without_flower() -> None:
    assert not {"flwr", "grpcio"} & names("deploy/gateway.lock")
