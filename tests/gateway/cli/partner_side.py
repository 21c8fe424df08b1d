"""A partner's machine: an identity, a folder with what is trusted, and the commands used there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.artifacts.age import Identity, generate_identity
from gateway.artifacts.kit import Kit
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.cli.false_gateway import FalseGateway


@dataclass(frozen=True)
class Partner:
    """Somebody who was given a kit."""

    folder: Path
    gateway: FalseGateway
    profile: Path
    identity: Identity

    @property
    def trust(self) -> Path:
        return self.folder / "trust"

    @property
    def key(self) -> Path:
        return self.folder / "site.key"

    @property
    def out(self) -> Path:
        return self.folder / "got" / "model.age"

    @property
    def record(self) -> Path:
        return self.trust / "clinic.json"

    def accept(
        self, kit: Kit, *options: str, told: str | None = None, written: bool = False
    ) -> Said:
        """Accept a kit whose file is made here, unless it was `written` before."""
        file = self.folder / "clinic.kit"
        if not written:
            file.write_bytes(kit.encode())
        hash_ = kit.digest() if told is None else told
        named = ("--sha256", hash_, "--trust", str(self.trust), *options)
        return sealgate("partner", "accept", file, *named)

    def download(self, version: str = "1.0", *options: str, model: str = "triage") -> Said:
        where = ("--out", str(self.out), "--trust", str(self.trust), "--profile", str(self.profile))
        return sealgate("model", "download", model, version, "-i", self.key, *where, *options)

    def artifact(self, verb: str, *options: str | Path) -> Said:
        return sealgate("artifact", verb, self.out, *options)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.out.parent.iterdir())


def partner_of(folder: Path, gateway: FalseGateway, profile: Path) -> Partner:
    identity = generate_identity(os.urandom)
    partner = Partner(folder, gateway, profile, identity)
    partner.key.write_text(identity.secret + "\n")
    partner.out.parent.mkdir()
    return partner
