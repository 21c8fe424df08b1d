"""The release key is replaced while partners hold the old one: they follow, or are told why not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.place import Place, served_place
from tests.gateway.screening.classifiers import classifier

MODEL = "m"


@dataclass
class Side:
    """An owner and partners around one gateway; a partner has a folder and nothing else."""

    place: Place
    folder: Path

    @property
    def owner(self) -> Path:
        return self.place.profile("clinic", "owner")

    def publish(self, version: str) -> None:
        graph, key = self.folder / "model.onnx", self.folder / "owner.key"
        if not key.exists():
            graph.write_bytes(classifier())
            ran("model", "keygen", "--out", key)
            ran("artifact", "keygen", "-o", self.folder / "site.key")
            ran("model", "create", MODEL, "--no-personal", "--profile", self.owner)
        ran("model", "push", MODEL, version, graph, "--key", key, "--profile", self.owner)

    def rotate(self, *more: str) -> Said:
        admin = self.place.folder / "data" / "admin.json"
        confirmed = ("release", "clinic", "--confirm", "clinic", *more)
        return ran("keys", "rotate", *confirmed, "--profile", admin)

    def kit(self, name: str) -> tuple[Path, str]:
        out = self.folder / f"{name}.kit"
        given = ("--owner-key", self.folder / "owner.key", "--out", out, "--json")
        made = ran("partner", "kit", MODEL, *given, "--profile", self.owner,
                   "--trust", self.folder / "of the owner")  # fmt: skip
        return out, made.json["sha256"]

    def accept(self, partner: str, kit: tuple[Path, str], *more: str) -> Said:
        trust = self.folder / partner
        return sealgate("partner", "accept", kit[0], "--sha256", kit[1], "--trust", trust, *more)

    def download(self, partner: str, version: str) -> Said:
        out = self.folder / f"{partner}-{version}.age"
        return sealgate(
            "model", "download", MODEL, version, "-i", self.folder / "site.key", "--out", out,
            "--trust", self.folder / partner, "--profile", self.owner, "--allow-older", "--json",
        )  # fmt: skip

    def verify(self, file: str, *more: str | Path) -> Said:
        return sealgate("artifact", "verify", self.folder / file, "--allow-older", "--json", *more)


def ran(*words: str | Path) -> Said:
    said = sealgate(*words)
    assert said.code == ExitCode.OK, said.err
    return said


def refused(said: Said, why: str) -> None:
    assert said.code == ExitCode.UNVERIFIED, said.err
    problem = json.loads(said.err.splitlines()[-1])
    assert why in problem["detail"]
    assert problem["next"]


@pytest.mark.e2e
def test_partners_follow_a_release_key_that_the_old_one_names(tmp_path: Path) -> None:
    with served_place(tmp_path) as place:
        place.tenant("clinic")
        side = Side(place, tmp_path)
        side.publish("1")
        first = side.kit("first")
        for partner in ("ann", "bob", "cay"):
            assert side.accept(partner, first).code == ExitCode.OK
        assert side.download("ann", "1").code == ExitCode.OK
        rotated = side.rotate("--json").json
        assert (rotated["number"], rotated["former"][0]["number"]) == (2, 1)
        side.publish("2")

        # Online: versions of before and after, with the kit of before.
        told = side.download("ann", "2").json
        assert told["release_key_followed_by"] == rotated["id"]
        again = side.download("ann", "1")
        assert (again.code, "release_key_followed_by" in again.json) == (ExitCode.OK, False)
        listed = ran("partner", "list", "--trust", tmp_path / "ann", "--json").json
        assert {row["release_key"] for row in listed} == {rotated["id"]}

        # Offline: by the file alone, by the kit's file, and by the owner's file of keys.
        for file in ("ann-1.age", "ann-2.age"):
            assert side.verify(file, "--trust", tmp_path / "bob").code == ExitCode.OK
            assert side.verify(file, "--kit", first[0]).code == ExitCode.OK
        keys = tmp_path / "clinic.keys"
        ran("partner", "keys", MODEL, "--out", keys, "--profile", side.owner,
            "--trust", tmp_path / "of the owner")  # fmt: skip
        followed = ran("partner", "follow", keys, "--trust", tmp_path / "cay", "--json").json
        assert (followed["release_key"], followed["followed"]) == (rotated["id"], True)
        once_more = ran("partner", "follow", keys, "--trust", tmp_path / "cay", "--json").json
        assert once_more["followed"] is False

        # A new partner's kit has the new key, and gets the old version as well.
        second = side.kit("second")
        assert side.accept("dan", second).code == ExitCode.OK
        for version in ("1", "2"):
            assert side.download("dan", version).code == ExitCode.OK
        refused(side.accept("dan", first, "--replace", "--json"), "older")
    with served_place(tmp_path) as place:  # and after a restart
        side = Side(place, tmp_path)
        (tmp_path / "ann-1.age").unlink()
        assert side.download("ann", "1").code == ExitCode.OK


@pytest.mark.e2e
def test_a_lost_release_key_is_followed_by_nothing_but_a_new_kit(tmp_path: Path) -> None:
    with served_place(tmp_path) as place:
        place.tenant("clinic")
        side = Side(place, tmp_path)
        side.publish("1")
        first = side.kit("first")
        side.accept("ann", first)
        assert side.download("ann", "1").code == ExitCode.OK
        lost = side.rotate("--lost")
        assert "warning: partners refuse" in lost.err
        assert "partner kit" in lost.err
        (tmp_path / "ann-1.age").unlink()
        refused(side.download("ann", "1"), "has not named it")
        keys = sealgate("partner", "keys", MODEL, "--out", tmp_path / "k", "--profile", side.owner,
                        "--trust", tmp_path / "of the owner", "--json")  # fmt: skip
        assert keys.code == ExitCode.USAGE
        second = side.kit("second")
        refused(side.accept("ann", second, "--json"), "another kit")
        assert side.accept("ann", second, "--replace").code == ExitCode.OK
        assert side.download("ann", "1").code == ExitCode.OK
        assert side.verify("ann-1.age", "--trust", tmp_path / "ann").code == ExitCode.OK
        refused(side.verify("ann-1.age", "--kit", first[0]), "not signed by this key")
        promoted = sealgate("model", "promote", MODEL, "1", "--profile", side.owner)
        assert promoted.code == ExitCode.OK, "it is served under its new link"
