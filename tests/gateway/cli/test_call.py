"""`sealgate call` against a gateway, as a client whose tokens are bound to a key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import sealgate
from tests.gateway.place import Place
from tests.gateway.screening.classifiers import CENTRES, classifier, clouds, npz

pytestmark = pytest.mark.e2e
HOUSE = "callhouse"


@pytest.fixture(scope="module")
def caller(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of a caller, bound, of two released models: one is about people."""
    place.tenant(HOUSE)
    folder = tmp_path_factory.mktemp("owner")
    owner = ("--profile", place.profile(HOUSE, "owner"))
    (folder / "model.onnx").write_bytes(classifier())
    x, y = clouds(400, seed=1)
    (folder / "rows.npz").write_bytes(npz(x=x, y=y))
    key, rows = folder / "owner.key", folder / "rows.npz"
    assert sealgate("model", "keygen", "--out", key).code == 0
    for name, kind in (("clouds", "--no-personal"), ("people", "--personal")):
        sent = ("--key", key, "--calibration", rows)
        assert sealgate("model", "create", name, kind, *owner).code == 0
        assert sealgate("model", "push", name, "1", folder / "model.onnx", *sent, *owner).code == 0
        assert sealgate("model", "promote", name, "1", *owner).code == 0
    return place.profile(HOUSE, "caller", token_binding="dpop")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(CENTRES.tolist()))
    return path


def test_a_bound_client_gets_an_answer_from_a_file(caller: Path, rows: Path) -> None:
    assert json.loads(caller.read_text())["binding"] == "dpop"
    said = sealgate("call", "clouds", rows, "--profile", caller)
    assert said.code == ExitCode.OK, said.err
    assert len(said.out.splitlines()) == len(CENTRES)
    assert "clouds 1, record test/callhouse/" in said.err


@pytest.mark.parametrize("form", [".npz", ".npy", ".csv", ".json"])
def test_the_form_of_a_file_changes_nothing_of_the_answer(
    form: str, caller: Path, rows: Path, tmp_path: Path
) -> None:
    path, x = tmp_path / f"x{form}", CENTRES.astype(np.float32)
    if form == ".npz":
        path.write_bytes(npz(x=x))
    elif form == ".npy":
        np.save(path, x)
    elif form == ".csv":
        path.write_text("\n".join(",".join(map(str, row)) for row in x.tolist()))
    else:
        tensor = {"name": "in", "datatype": "FP32", "shape": list(x.shape), "data": x.tolist()}
        path.write_text(json.dumps({"inputs": [tensor]}))
    plain = sealgate("call", "clouds", rows, "--profile", caller, "--json").json
    told = sealgate("call", "clouds", path, "--profile", caller, "--version", "1", "--json").json
    assert told["outputs"][0]["shape"] == plain["outputs"][0]["shape"]
    assert told["outputs"][0]["data"] == pytest.approx(plain["outputs"][0]["data"], abs=1e-6)
    assert told["audit"].startswith("test/callhouse/")
    assert told["request_id"]


def test_an_answer_can_go_to_a_file(caller: Path, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "answer.npz"
    said = sealgate("call", "clouds", rows, "--out", out, "--profile", caller, "--json")
    assert said.json["file"] == str(out)
    with np.load(out) as found:
        assert found["p"].shape == (len(CENTRES), 3)


def test_a_person_is_named_by_an_option_or_by_a_file(
    caller: Path, rows: Path, tmp_path: Path
) -> None:
    unnamed = sealgate("call", "people", rows, "--profile", caller)
    assert unnamed.code == ExitCode.USAGE
    (tmp_path / "who").write_text("MRN-0042\n")
    for subject in ("MRN-0042", f"@{tmp_path / 'who'}"):
        said = sealgate("call", "people", rows, "--subject", subject, "--profile", caller)
        assert said.code == ExitCode.OK, said.err
    assert sealgate("call", "people", rows, "--subject", "@/nowhere").code == ExitCode.USAGE


def test_a_refusal_names_its_request(caller: Path, rows: Path) -> None:
    said = sealgate("call", "clouds", rows, "--purpose", "marketing", "--profile", caller)
    assert said.code == ExitCode.NOT_FOUND
    assert "request: " in said.err
    absent = sealgate("call", "absent", rows, "--profile", caller)
    assert absent.code == ExitCode.NOT_FOUND
