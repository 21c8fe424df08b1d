"""The contracts of `pyproject.toml`: the tree keeps them, and planted violations do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter comes with the `dev` extra")

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "federated", "policies", "audit")
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

PLANTED = {
    "gateway.federation.sibling": "gateway.inference.pipeline",
    "gateway.privacy.sibling": "gateway.tenancy.limits",
    "gateway.work.sibling": "gateway.authorization.recorder",
    "gateway.registry.feature": "gateway.federation.runs",
    "gateway.identity.above": "gateway.authorization.guard",
    "gateway.web.store": "gateway.storage.stores",
    "gateway.web.builder": "gateway.composition.gateway",
    "gateway.process.door": "gateway.web.oip",
    "gateway.storage.builder": "gateway.composition.foundation",
    "gateway.cli.store": "gateway.storage.database",
    "gateway.cli.tour": "gateway.demo.place",
    "gateway.client.part": "gateway.names",
    "gateway.client.server": "fastapi",
    "gateway.inference.client": "httpx",
    "gateway.inference.server": "uvicorn",
    "gateway.artifacts.server": "starlette",
    "gateway.registry.federated": "federated.plan",
    "gateway.screening.art": "art",
    "audit.web": "fastapi",
    "audit.gateway": "gateway.errors",
    "policies.audit": "audit.log",
    "federated.gateway": "gateway.names",
}
"""New module → the module that it imports and must not."""
HOMELESS = ("gateway.drawer", "gateway.folder.thing")
"""New modules that have no place in the layers."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is told of a copy of the tree with everything planted at once."""
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    before = lint(folder)
    assert before.returncode == 0, before.stdout + before.stderr
    assert " 0 broken" in before.stdout
    for module, target in {**PLANTED, **dict.fromkeys(HOMELESS, "gateway.errors")}.items():
        path = folder / (module.replace(".", "/") + ".py")
        if not path.parent.exists():
            path.parent.mkdir()
            (path.parent / "__init__.py").touch()
        path.write_text(f"import {target}\n")
    after = lint(folder)
    assert after.returncode == 1, after.stdout + after.stderr
    return after.stdout.partition("Broken contracts")[2]


@pytest.mark.e2e
@pytest.mark.parametrize("module", PLANTED)
def test_a_planted_import_is_refused(spoiled: str, module: str) -> None:
    assert f"{module} -> {PLANTED[module]} (l.1)" in spoiled


@pytest.mark.e2e
@pytest.mark.parametrize("module", HOMELESS)
def test_a_module_without_a_layer_is_refused(spoiled: str, module: str) -> None:
    undeclared = spoiled.partition("not listed as layers")[2].partition("\n\n\n")[0]
    assert f"- {'.'.join(module.split('.')[:2])}\n" in undeclared + "\n"
