"""Answers as tables and files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from gateway.cli.call_output import as_json, check_form, print_table, write
from gateway.cli.failures import CommandFailed
from gateway.client.tensors import Tensor

SCORES = Tensor("scores", "FP32", np.array([[0.25, 0.75], [1.0, 0.0]], np.float32))
LABELS = Tensor("label", "BYTES", np.array([["=cmd()"], ["café"]], np.object_))


def test_a_table_has_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    wide = Tensor("wide", "INT8", np.zeros((2, 40), np.int8))
    print_table([SCORES, LABELS, wide])
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("\t")[:3] == ["0", "0.25 0.75", "'=cmd()"]
    assert second.endswith(" …")


def test_files_hold_everything_and_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for form in (".npz", ".json", ".csv"):
            write(tmp_path / f"answer{form}", {"model_name": "m"}, [SCORES, LABELS])
            assert stat.S_IMODE((tmp_path / f"answer{form}").stat().st_mode) == 0o600
    finally:
        os.umask(before)
    with np.load(tmp_path / "answer.npz", allow_pickle=False) as found:
        assert found["scores"].tolist() == SCORES.values.tolist()
        assert found["label"].ravel().tolist() == ["=cmd()", "café"]
    told = json.loads((tmp_path / "answer.json").read_text())
    assert told["outputs"][0]["data"] == [0.25, 0.75, 1.0, 0.0]
    lines = (tmp_path / "answer.csv").read_text().splitlines()
    assert lines == [
        '"scores.0","scores.1","label"',
        '0.25,0.75,"\'=cmd()"',
        '1.0,0.0,"café"',
    ]


def test_what_json_cannot_say_is_not_told_as_null() -> None:
    lost = Tensor("y", "FP32", np.array([np.nan], np.float32))
    with pytest.raises(CommandFailed) as refused:
        as_json({}, [lost])
    assert ".npz" in refused.value.advice


def test_a_file_of_no_known_form_is_refused_before_the_model_is_asked() -> None:
    with pytest.raises(CommandFailed):
        check_form(Path("answer.xlsx"))
