from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyrage
import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.artifacts.odd_models import boosted, needs_576_samples, never_runs
from tests.gateway.cli.command import sealgate
from tests.gateway.place import Place
from tests.gateway.screening.classifiers import classifier, clouds, npz

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def owner(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of an owner with a released version 1 and a candidate 2 of `clouds`."""
    place.tenant("clihouse")
    folder = tmp_path_factory.mktemp("owner")
    profile = place.profile("clihouse", "owner")
    (folder / "model.onnx").write_bytes(classifier())
    x, y = clouds(400, seed=1)
    (folder / "rows.npz").write_bytes(npz(x=x, y=y))
    key = sealgate("model", "keygen", "--out", folder / "owner.key")
    (profile.parent / "owner-of-clouds.pub").write_text(key.out)
    made = sealgate("model", "create", "clouds", "--no-personal", "--profile", profile, "--json")
    assert made.json["name"] == "clouds"
    for version, more in (("1", ["--calibration", str(folder / "rows.npz")]), ("2", [])):
        pushed = sealgate(
            "model", "push", "clouds", version, folder / "model.onnx",
            "--key", folder / "owner.key", *more, "--profile", profile,
        )  # fmt: skip
        assert pushed.code == 0, pushed.err
    promoted = sealgate("model", "promote", "clouds", "1", "--profile", profile, "--json")
    assert promoted.json["version"] == "1"
    return profile


def test_a_pushed_model_is_screened_signed_and_served(owner: Path) -> None:
    shown = sealgate("model", "show", "clouds", "--profile", owner, "--json").json
    assert shown["current"]["version"] == "1"
    states = {entry["version"]: entry["state"] for entry in shown["versions"]}
    assert states == {"1": "released", "2": "candidate"}
    one = sealgate("model", "show", "clouds", "1", "--profile", owner, "--json").json
    assert one["facts"]["screened"] == "yes"
    assert [payload["role"] for payload in one["payloads"]] == ["graph"]


def test_promote_and_roll_back(owner: Path) -> None:
    assert sealgate("model", "promote", "clouds", "2", "--profile", owner).code == 0
    back = sealgate("model", "rollback", "clouds", "--profile", owner, "--json")
    assert (back.json["version"], back.json["previous"]) == ("1", "2")
    listed = sealgate("model", "history", "clouds", "--profile", owner).out.splitlines()
    assert [line.split("\t")[1:3] for line in listed] == [
        ["promote", "1"], ["promote", "2"], ["rollback", "1"],
    ]  # fmt: skip


def test_a_download_is_an_age_file_for_the_recipient(owner: Path, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    out = tmp_path / "clouds.age"
    got = sealgate(
        "model", "download", "clouds", "1", "--recipient", str(identity.to_public()),
        "--out", out, "--profile", owner, "--unverified",
    )  # fmt: skip
    assert got.code == 0, got.err
    assert [path.name for path in tmp_path.iterdir()] == ["clouds.age"]
    assert pyrage.decrypt(out.read_bytes(), [identity]) == classifier()
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(out.read_bytes(), [pyrage.x25519.Identity.generate()])


def test_a_partner_verifies_what_a_gateway_serves(owner: Path, tmp_path: Path) -> None:
    """The way of the two: a kit, its hash, a verified download, the model as it was pushed."""
    kit, trust, key = (tmp_path / name for name in ("clinic.kit", "trust", "site.key"))
    made = sealgate(
        "partner", "kit", "clouds", "--owner-key", owner.parent / "owner-of-clouds.pub",
        "--out", kit, "--trust", trust, "--profile", owner, "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    accepted = sealgate("partner", "accept", kit, "--sha256", made.json["sha256"], "--trust", trust)
    assert accepted.code == 0, accepted.err
    assert sealgate("artifact", "keygen", "-o", key).code == 0
    got = sealgate(
        "model", "download", "clouds", "1", "-i", key, "--out", tmp_path / "clouds.age",
        "--decrypt-to", tmp_path / "clouds.onnx", "--trust", trust, "--profile", owner, "--json",
    )  # fmt: skip
    assert got.code == 0, got.err
    assert got.json["verified"] is True
    assert (tmp_path / "clouds.onnx").read_bytes() == classifier()
    listed = sealgate("partner", "list", "--trust", trust, "--json").json
    assert [(row["model"], row["version"]) for row in listed] == [("clouds", "1")]


def test_a_download_goes_on_where_it_was_cut_off(owner: Path, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    recipient, out = str(identity.to_public()), tmp_path / "clouds.age"
    part, notes = tmp_path / "clouds.age.part", tmp_path / "clouds.age.part.json"
    arguments = (
        "model", "download", "clouds", "1", "--recipient", recipient,
        "--out", out, "--profile", owner, "--json", "--unverified",
    )  # fmt: skip
    digest = sealgate(*arguments).json["digest"]
    whole = out.read_bytes()
    header = whole.index(b"\n--- ")
    header = whole.index(b"\n", header + 1) + 1
    out.unlink()
    part.write_bytes(whole[: header + 100])
    kept = {"digest": digest, "recipient": recipient, "header_length": header}
    notes.write_text(json.dumps(kept))
    assert sealgate(*arguments).code == 0
    assert out.read_bytes() == whole, "header and first bytes are those of the first attempt"


def test_a_damaged_part_is_never_given_out(owner: Path, tmp_path: Path) -> None:
    recipient, out = str(pyrage.x25519.Identity.generate().to_public()), tmp_path / "clouds.age"
    part, notes = tmp_path / "clouds.age.part", tmp_path / "clouds.age.part.json"
    shown = sealgate("model", "show", "clouds", "1", "--profile", owner, "--json").json
    part.write_bytes(b"header" + bytes(100))
    digest = shown["payloads"][0]["digest"]
    notes.write_text(json.dumps({"digest": digest, "recipient": recipient, "header_length": 6}))
    got = sealgate(
        "model", "download", "clouds", "1", "--recipient", recipient,
        "--out", out, "--profile", owner, "--unverified",
    )  # fmt: skip
    assert got.code == ExitCode.UNVERIFIED
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_next_step_and_have_their_exit_codes(owner: Path) -> None:
    absent = sealgate("model", "show", "nothing", "--profile", owner)
    assert absent.code == ExitCode.NOT_FOUND
    assert absent.err.startswith("error: ")
    assert "next: " in absent.err
    usage = sealgate("model", "push")
    assert usage.code == ExitCode.USAGE
    unconfirmed = sealgate("model", "retire", "clouds", "2", "--confirm", "x", "--profile", owner)
    assert unconfirmed.code == ExitCode.USAGE
    assert "--confirm 2" in unconfirmed.err


def test_a_refused_push_ends_with_the_command_to_go_on_with(owner: Path, tmp_path: Path) -> None:
    model, key = tmp_path / "voice.onnx", tmp_path / "owner.key"
    model.write_bytes(never_runs().SerializeToString())
    assert sealgate("model", "keygen", "--out", key).code == 0
    push = ("model", "push", "clouds", "3", model, "--key", key, "--profile", owner)
    refused = sealgate(*push)
    assert refused.code != 0
    assert "node `/head/Reshape_3` (Reshape)" in refused.err
    again = f"sealgate model push clouds 3 {model} --key {key} --sample SAMPLE.npz"
    assert refused.err.rstrip().endswith(again)
    (tmp_path / "sample.npz").write_bytes(npz(x=np.zeros((3, 600), np.float32)))
    model.write_bytes(needs_576_samples().SerializeToString())
    mended = sealgate(*push, "--sample", tmp_path / "sample.npz", "--json")
    assert mended.code == 0, mended.err
    assert mended.json["state"] == "candidate", "a refusal does not use up the name"


def test_trees_that_take_missing_values_are_told_in_the_answer(owner: Path, tmp_path: Path) -> None:
    model, key = tmp_path / "trees.onnx", tmp_path / "owner.key"
    model.write_bytes(boosted().SerializeToString())
    assert sealgate("model", "keygen", "--out", key).code == 0
    push = ("model", "push", "clouds", "4", model, "--key", key, "--profile", owner)
    assert "--allow-nan x" in sealgate(*push).err
    allowed = ("model", "push", "clouds", "5", *push[4:], "--allow-nan", "x")
    told = sealgate(*allowed)
    assert told.code == 0, told.err
    assert "--allow-nan" not in told.err
