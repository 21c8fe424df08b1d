"""Uploads that wait, and a push that is tried out at home."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.cli.connection import connect
from gateway.cli.failures import ExitCode
from gateway.cli.transfer import upload
from tests.gateway.cli.command import sealgate
from tests.gateway.place import Place
from tests.gateway.screening.classifiers import classifier, clouds, npz

pytestmark = pytest.mark.e2e
HOUSE = "uploads"


@pytest.fixture(scope="module")
def owner(place: Place) -> Path:
    place.tenant(HOUSE)
    profile = place.profile(HOUSE, "owner")
    made = sealgate("model", "create", "clouds", "--no-personal", "--profile", profile)
    assert made.code == 0, made.err
    return profile


def waiting(profile: Path) -> list[str]:
    return [
        one["id"]
        for one in sealgate("model", "upload", "list", "--profile", profile, "--json").json
    ]


def test_an_upload_is_listed_for_its_sender_and_can_be_discarded(
    owner: Path, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(classifier())
    assert waiting(owner) == []
    with connect(owner) as connection:
        sent = upload(connection, "clouds", file, quiet=True)
    other = place.profile(HOUSE, "officer")
    assert waiting(owner) == [sent]
    assert waiting(other) == [], "another client's"
    listed = sealgate("model", "upload", "list", "--profile", owner)
    assert listed.out.split("\t")[:3] == [sent, "artifact", str(len(classifier()))]
    unconfirmed = sealgate("model", "upload", "discard", sent, "--profile", owner)
    assert unconfirmed.code == ExitCode.USAGE
    assert f"--confirm {sent}" in unconfirmed.err
    strange = sealgate("model", "upload", "discard", sent, "--confirm", sent, "--profile", other)
    assert strange.code == ExitCode.NOT_FOUND
    assert waiting(owner) == [sent]
    gone = sealgate("model", "upload", "discard", sent, "--confirm", sent, "--profile", owner)
    assert gone.code == 0, gone.err
    assert waiting(owner) == []


def test_a_dry_run_admits_and_calibrates_and_sends_nothing(owner: Path, tmp_path: Path) -> None:
    model, rows, key = tmp_path / "m.onnx", tmp_path / "rows.npz", tmp_path / "owner.key"
    model.write_bytes(classifier())
    x, y = clouds(400, seed=1)
    rows.write_bytes(npz(x=x, y=y))
    assert sealgate("model", "keygen", "--out", key).code == 0
    push = ("model", "push", "clouds", "1", model, "--key", key, "--calibration", rows)
    # No profile: nobody is asked.
    tried = sealgate(*push, "--dry-run", "--profile", tmp_path / "absent.json", "--json")
    assert tried.code == 0, tried.err
    assert tried.json["state"] == "not sent"
    assert tried.json["facts"]["screened"] == "yes"
    assert waiting(owner) == []


def test_a_dry_run_refuses_as_the_gateway_would(owner: Path, tmp_path: Path) -> None:
    model, rows, key = tmp_path / "m.onnx", tmp_path / "rows.npz", tmp_path / "owner.key"
    model.write_bytes(classifier())
    x, _ = clouds(400, seed=1)
    rows.write_bytes(npz(x=x, y=np.full(len(x), 99)))
    assert sealgate("model", "keygen", "--out", key).code == 0
    push = ("model", "push", "clouds", "9", model, "--key", key, "--calibration", rows)
    here = sealgate(*push, "--dry-run")
    there = sealgate(*push, "--profile", owner)
    assert here.code == there.code == ExitCode.FAILED
    assert "(calibration_labels)" in here.err
    last = [said.err.splitlines()[-2:] for said in (here, there)]
    assert last[0] == last[1]
    assert "counted from 0" in here.err, "a refusal tells what to do"
