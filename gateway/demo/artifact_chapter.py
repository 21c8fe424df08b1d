"""Chapter of the tour about delivery: a site gets a model that only its key opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway.demo.cast import Cast
from gateway.demo.narrator import BrokenPromise, hold
from gateway.demo.serving_chapter import MODEL, VERSION


class ArtifactChapter:
    """Downloads the model for a site and opens it there."""

    def __init__(self, cast: Cast, model: bytes) -> None:
        self._cast = cast
        self._say = cast.narrator
        self._model = model
        self._folder = cast.place.folder / "edge"

    def deliver(self) -> None:
        """Take the way of one download."""
        self._say.chapter("A partner takes the model home, encrypted to its own key")
        self._folder.mkdir(mode=0o700)
        identity, sealed = self._folder / "identity.txt", self._folder / "digits.onnx.age"
        recipient = self._make_identity(identity)
        with self._say.check("downloaded for the partner's key; intent and result are recorded"):
            self._cast.run(
                *("clinic-owner", "model", "download", MODEL, VERSION),
                *("--recipient", recipient, "--out", str(sealed)),
            )
            hold(self._model[1000:1064] not in sealed.read_bytes(), "it is not encrypted")
        with self._say.check("opens with the partner's key to exactly what the owner signed"):
            out = self._folder / "digits.onnx"
            self._offline("decrypt", str(sealed), "-i", str(identity), "-o", str(out))
            hold(out.read_bytes() == self._model, "it is another model")
        with self._say.check("opens with no other key"):
            stranger = self._folder / "stranger.txt"
            self._make_identity(stranger)
            try:
                self._offline("decrypt", str(sealed), "-i", str(stranger), "-o", "/dev/null")
            except BrokenPromise:
                return
            raise BrokenPromise("a stranger opened it")

    def _make_identity(self, path: Path) -> str:
        self._offline("keygen", "-o", str(path))
        lines = path.read_text().splitlines()
        return next(line.rpartition(" ")[2] for line in lines if "public key" in line)

    def _offline(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gateway", "artifact", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise BrokenPromise(done.stderr.strip().splitlines()[-1])
