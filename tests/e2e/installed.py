"""The distribution, built and installed into an environment that knows no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.house import PATIENCE, REPOSITORY

NOBODY: Final = 65_534


def build(kind: str, out: Path, source: Path = REPOSITORY) -> Path:
    """Build a `wheel` or an `sdist` as any front end would, and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=PATIENCE)
    (made,) = out.iterdir()
    return made


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, for a user who is nobody where root runs the tests.

    Attributes:
        folder: Has a space in its name, and belongs to that user.
        home: That user's, which it cannot write.
    """

    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "TMPDIR": str(self.folder / "tmp"), "PATH": "/usr/bin:/bin"}
        return own | {name: text for name, text in os.environ.items() if name == "LANG"}

    def command(self, *arguments: str) -> list[str]:
        user = f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"
        under = ["setpriv", *user, "--"] if os.geteuid() == 0 else []
        return [*under, str(self.folder / "venv" / "bin" / "sealgate"), *arguments]

    def sealgate(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), **self._how(more), check=False)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        how: Any = {**self._how(more), "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        del how["capture_output"], how["timeout"]
        return subprocess.Popen(self.command(*arguments), **how)

    def _how(self, more: dict[str, str]) -> Any:
        return {
            "cwd": self.folder,
            "env": self.environment | more,
            "capture_output": True,
            "text": True,
            "timeout": PATIENCE,
        }


@contextmanager
def installed(wheel: Path) -> Iterator[Installed]:
    """Install a wheel; what it depends on is that of the environment of the tests."""
    # Not in the tests' own temporary folder, which nobody else may look into.
    place = Path(tempfile.mkdtemp(prefix="sgi-", dir="/tmp"))  # it makes its own
    try:
        place.chmod(0o755)
        folder, home = place / "a place", place / "home"
        (folder / "tmp").mkdir(parents=True)
        home.mkdir(mode=0o555)
        venv = folder / "venv"
        subprocess.run([_python(), "-m", "venv", "--without-pip", str(venv)], check=True)
        _install(wheel, venv)
        if os.geteuid() == 0:
            for path in (folder, folder / "tmp", home):
                os.chown(path, NOBODY, NOBODY)
        yield Installed(folder, home)
    finally:
        shutil.rmtree(place)


def _install(wheel: Path, venv: Path) -> None:
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--offline"]
    command = [*uv, "--no-deps", "--python", str(venv / "bin" / "python"), str(wheel)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    (site,) = venv.glob("lib/python*/site-packages")
    # A line of a path: what is named in files of that folder, such as our checkout, stays unknown.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")


def _python() -> str:
    """Return an interpreter of our version that nobody may run: root's own may be hidden."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = Path(sys.executable).resolve()
    system = Path("/usr/bin", version)
    hidden = os.geteuid() == 0 and own.is_relative_to("/root")
    return str(system if hidden and system.exists() else own)
