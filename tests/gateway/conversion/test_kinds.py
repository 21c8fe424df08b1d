"""What a file holds is known before anybody loads it."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.conversion.kinds import PICKLED, kind_of

PICKLES = {
    "protocol 0": pickle.dumps([1], protocol=0),
    "protocol 2": pickle.dumps([1], protocol=2),
    "newest": pickle.dumps([1], protocol=pickle.HIGHEST_PROTOCOL),
    "squeezed": zlib.compress(pickle.dumps([1])),
}


@pytest.mark.parametrize("name", list(PICKLES))
def test_a_pickle_of_any_protocol_is_known(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.joblib"
    file.write_bytes(PICKLES[name])
    assert kind_of(file) == "pickle"


def test_a_pickle_is_known_by_its_bytes_whatever_it_is_called(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(pickle.dumps({"weights": [1.0]}))
    assert kind_of(file) in PICKLED


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (["m/data.pkl", "m/data/0"], "torch_pickle"),
        (["m/data.pkl", "m/constants.pkl", "m/code/x.py"], "torch_script"),
        (["m/models/model.json", "m/data/sample_inputs/model.pt"], "torch_program"),
        (["x.npy", "y.npy"], None),
    ],
)
def test_archives_are_told_apart_by_their_members(
    members: list[str], kind: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "model.pt"
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    assert kind_of(file) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b'{"learner":{"attributes":{}', "xgboost"),
        (b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{", "xgboost"),
        (b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
        (b"\x08\x08\x12\x07skl2onnx", "onnx"),
        (b'{"inputs": []}', None),
        (b"", None),
    ],
)
def test_other_formats_are_known_by_how_they_begin(
    head: bytes, kind: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "model"
    file.write_bytes(head)
    assert kind_of(file) == kind


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), zipped=st.booleans())
def test_any_bytes_have_a_kind_or_none(data: bytes, zipped: bool, tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"PK" + data if zipped else data)
    kind_of(file)
