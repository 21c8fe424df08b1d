"""`sealgate model convert`, and a push that names it."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from gateway.artifacts.onnx_inspection import parse
from gateway.cli.failures import ExitCode
from tests.gateway.artifacts.odd_models import zip_map
from tests.gateway.cli.command import sealgate
from tests.gateway.conversion.test_tidying import outside, zipped

pytestmark = pytest.mark.e2e


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    pytest.importorskip("skl2onnx", reason="skl2onnx comes with the `convert` extra")
    from tests.gateway.conversion.estimators import X, Y, plain, save

    np.savez(tmp_path / "rows.npz", x=X, y=Y)
    return save(plain(), tmp_path / "model.joblib")


@pytest.mark.convert
def test_a_pipeline_becomes_a_model_that_was_compared_and_admitted(pickled: Path) -> None:
    rows = pickled.with_name("rows.npz")
    said = sealgate("model", "convert", pickled, "--sample", rows, "--trust-pickle")
    assert said.code == 0, said.err
    assert "changed   probabilities are a tensor (zipmap off); its columns: 0, 1" in said.out
    assert "compared  `label` is the same, on 200 rows of rows.npz" in said.out
    assert "allowed   0.0001 absolute, and 0.0001 of the value" in said.out
    assert "input     x FP32 [-1, 5]" in said.out
    assert "next: sealgate model push NAME VERSION" in said.err
    parse(pickled.with_suffix(".onnx").read_bytes())
    assert not [one for one in pickled.parent.iterdir() if one.name.startswith(".")]


@pytest.mark.convert
def test_a_pickle_is_not_loaded_before_its_owner_says_so(
    pickled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        said = sealgate("model", "convert", pickled)
    assert said.code == ExitCode.USAGE
    assert "is a pickle: loading it runs whatever its maker put in, as you" in said.err
    assert f"sealgate model convert {pickled}" in said.err
    assert said.err.rstrip().endswith("--trust-pickle")
    assert not pickled.with_suffix(".onnx").exists()


@pytest.mark.convert
@pytest.mark.parametrize(("answer", "loaded"), [(b"y\n", True), (b"n\n", False), (b"\n", False)])
def test_at_a_terminal_its_owner_is_asked(
    answer: bytes, loaded: bool, pickled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = pty.openpty()
    os.write(master, answer)
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        said = sealgate("model", "convert", pickled)
    os.close(master)
    assert "do you trust who did?" in said.err
    assert (said.code == ExitCode.OK) is loaded, said.err
    assert pickled.with_suffix(".onnx").exists() is loaded


@pytest.mark.convert
def test_what_the_owners_folder_holds_does_not_stand_in_for_what_is_installed(
    pickled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder or file called `onnx` or `random` is common beside a model."""
    for name in ("random", "onnx", "msgspec", "joblib"):
        pickled.with_name(f"{name}.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(pickled.parent)
    said = sealgate("model", "convert", pickled.name, "--trust-pickle")
    assert said.code == 0, said.err


@pytest.mark.convert
def test_a_script_gets_one_object_and_a_refusal_its_reason(pickled: Path) -> None:
    rows = pickled.with_name("rows.npz")
    told = sealgate("model", "convert", pickled, "--sample", rows, "--trust-pickle", "--json").json
    assert told["file"] == str(pickled.with_suffix(".onnx"))
    assert {one["output"] for one in told["compared"]} == {"label", "probabilities"}
    assert told["admitted"]["inputs"][0]["name"] == "x"
    (pickled.with_name("other.joblib")).write_bytes(b"\x80\x04]\x94.")
    refused = sealgate(
        "model", "convert", pickled.with_name("other.joblib"), "--trust-pickle", "--json"
    )
    assert refused.code == ExitCode.FAILED
    assert '"reason": "unknown"' in refused.err


def test_a_file_of_that_name_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    model, out = outside(tmp_path), tmp_path / "one.onnx"
    out.write_bytes(b"mine")
    said = sealgate("model", "convert", model, "--out", out)
    assert said.code == ExitCode.USAGE
    assert said.err.rstrip().endswith(f"--out {out} --force")
    assert out.read_bytes() == b"mine"
    assert sealgate("model", "convert", model, "--out", out, "--force").code == 0
    assert onnx.load(out).graph.initializer[0].raw_data


def test_weights_beside_a_model_are_merged_and_the_model_itself_stays(tmp_path: Path) -> None:
    model = outside(tmp_path)
    before = model.read_bytes()
    said = sealgate("model", "convert", model)
    assert said.code == 0, said.err
    assert "1 weights from model.onnx.data were put into the one file" in said.out
    assert "inputs that were made here" in said.out
    assert model.read_bytes() == before
    assert (tmp_path / "model-served.onnx").exists()


def test_what_cannot_be_admitted_is_not_written(tmp_path: Path) -> None:
    model, out = tmp_path / "m.onnx", tmp_path / "out.onnx"
    proto = zipped()
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "sealgate_x"
    model.write_bytes(proto.SerializeToString())
    said = sealgate("model", "convert", model, "--out", out)
    assert said.code == ExitCode.FAILED
    assert "sealgate_x" in said.err
    assert "next: " in said.err
    assert not out.exists()


def push(file: Path, *more: str | Path) -> str:
    key = file.with_name("owner.key")
    key.touch(mode=0o600)
    said = sealgate("model", "push", "m", "1", file, "--key", key, *more)
    assert said.code == ExitCode.USAGE, said.err
    return said.err


def test_a_push_of_a_pickle_names_the_conversion_with_its_arguments(tmp_path: Path) -> None:
    file, rows = tmp_path / "my model.joblib", tmp_path / "rows.npz"
    file.write_bytes(b"\x80\x04]\x94.")
    rows.touch()
    told = push(file, "--calibration", rows)
    out, key = tmp_path / "my model.onnx", tmp_path / "owner.key"
    assert f"sealgate model convert '{file}' --out '{out}' --sample {rows}; then: " in told
    assert f"sealgate model push m 1 '{out}' --key {key} --calibration {rows}" in told


def test_a_push_of_onnx_that_is_not_served_names_the_conversion(tmp_path: Path) -> None:
    file = outside(tmp_path)
    assert "its weights are in another file" in push(file)
    file.write_bytes(zip_map().SerializeToString())
    told = push(file)
    assert "ZipMap" in told
    assert f"sealgate model convert {file} --out {tmp_path / 'model-served.onnx'}" in told
