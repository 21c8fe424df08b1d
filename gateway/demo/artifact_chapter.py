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
        with self._say.check("the partner has the owner's keys, compared by their hash"):
            self._hand_over_keys()
        with self._say.check("verified, then downloaded for the partner's key, and recorded"):
            got = self._cast.run(
                *("clinic-owner", "model", "download", MODEL, VERSION, *self._trust),
                *("--recipient", recipient, "--out", str(sealed)),
            )
            hold(got["verified"] is True, "it is not verified")
            hold(self._model[1000:1064] not in sealed.read_bytes(), "it is not encrypted")
        with self._say.check("opens with the partner's key to exactly what the owner signed"):
            out = self._folder / "digits.onnx"
            self._decrypt(sealed, identity, out)
            hold(out.read_bytes() == self._model, "it is another model")
        with self._say.check("opens with no other key"):
            stranger, stolen = self._folder / "stranger.txt", self._folder / "stolen.onnx"
            self._make_identity(stranger)
            try:
                self._decrypt(sealed, stranger, stolen)
            except BrokenPromise:
                hold(not stolen.exists(), "something of it was written")
                return
            raise BrokenPromise("a stranger opened it")

    @property
    def _trust(self) -> tuple[str, str]:
        return "--trust", str(self._folder / "trust")

    def _hand_over_keys(self) -> None:
        kit, key = self._folder / "clinic.kit", self._cast.place.folder / "owner" / "owner.key"
        named = ("--owner-key", str(key), "--out", str(kit))
        made = self._cast.run("clinic-owner", "partner", "kit", MODEL, *named, *self._trust)
        heard = ("--sha256", made["sha256"])
        self._cast.run("clinic-owner", "partner", "accept", str(kit), *heard, *self._trust)

    def _decrypt(self, sealed: Path, identity: Path, out: Path) -> None:
        self._offline("decrypt", str(sealed), "-i", str(identity), "-o", str(out), *self._trust)

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
