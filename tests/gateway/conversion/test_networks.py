"""torch's networks: exported programs, TorchScript, pickled modules, and weights alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.random import default_rng

from gateway.conversion.request import Report, Request, Stuck
from gateway.conversion.work import convert

pytestmark = [
    pytest.mark.convert,
    pytest.mark.e2e,
    pytest.mark.filterwarnings("default"),  # those of other makers are not ours
]


def network(width: int = 8) -> Any:
    torch.manual_seed(0)
    inner = [torch.nn.GELU(), torch.nn.LayerNorm(width)]
    layers = [torch.nn.Linear(6, width), *inner, torch.nn.Linear(width, 3)]
    return torch.nn.Sequential(*layers).eval()


def converted(file: Path, *, trusted: bool = True, sample: bool = True) -> Report:
    rows = file.with_name("rows.npz")
    np.savez(rows, x=default_rng(0).normal(size=(20, 6)))
    request = Request(
        file=str(file),
        out=str(file.with_name("out.onnx")),
        sample=str(rows) if sample else None,
        trusted=trusted,
    )
    return convert(request, lambda _: None)


def check(report: Report, rows: int = 20) -> None:
    (one,) = report.compared
    assert (one.rows, one.differing) == (rows, 0)
    assert not report.not_compared


def program() -> Any:
    rows = torch.export.Dim("rows")
    return torch.export.export(network(), (torch.zeros(4, 6),), dynamic_shapes=({0: rows},))


def test_an_exported_program_brings_its_own_example(tmp_path: Path) -> None:
    torch.export.save(program(), tmp_path / "model.pt2")
    check(converted(tmp_path / "model.pt2", sample=False), rows=4)
    check(converted_again(tmp_path))


def converted_again(folder: Path) -> Report:
    (folder / "out.onnx").unlink()
    return converted(folder / "model.pt2")


def test_a_script_is_converted_on_rows_of_the_owner(tmp_path: Path) -> None:
    torch.jit.trace(network(), torch.zeros(2, 6)).save(tmp_path / "model.pt")
    check(converted(tmp_path / "model.pt"))


def test_a_pickled_network_needs_an_example(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(Stuck) as stuck:
        converted(tmp_path / "model.pt", sample=False)
    assert stuck.value.reason == "inputs"
    check(converted(tmp_path / "model.pt"))
    (taken,) = onnx.load(tmp_path / "out.onnx").graph.input
    assert taken.name == "x"
    assert [one.name for one in onnx.load(tmp_path / "out.onnx").graph.output] == ["output"]
    assert taken.type.tensor_type.shape.dim[0].dim_param, "any number of rows"


@pytest.mark.parametrize("kind", ["module", "script", "program"])
def test_whatever_torch_wrote_needs_its_owners_word(kind: str, tmp_path: Path) -> None:
    """torch unpickles parts of each, and says itself: never load what you do not trust."""
    file = tmp_path / "model.pt"
    if kind == "program":
        torch.export.save(program(), file)
    elif kind == "script":
        torch.jit.trace(network(), torch.zeros(2, 6)).save(file)
    else:
        torch.save(network(), file)
    with pytest.raises(Stuck) as stuck:
        converted(file, trusted=False)
    assert stuck.value.reason == "untrusted"


def test_rows_that_the_network_does_not_take_are_told(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(7, 2), tmp_path / "model.pt")
    with pytest.raises(Stuck, match="does not run on these rows") as stuck:
        converted(tmp_path / "model.pt")
    assert stuck.value.reason == "not_runnable"


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "model.pt")
    with pytest.raises(Stuck, match="holds weights") as stuck:
        converted(tmp_path / "model.pt")
    assert "torch.export.save" in stuck.value.remedy


def test_weights_beside_an_exported_model_are_merged(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows")
    torch.onnx.export(
        network(width=512), (torch.zeros(2, 6),), tmp_path / "model.onnx",
        dynamo=True, external_data=True, dynamic_shapes=({0: rows},),
    )  # fmt: skip
    assert (tmp_path / "model.onnx.data").exists()
    report = converted(tmp_path / "model.onnx")
    check(report)
    assert "model.onnx.data" in report.changes[0]
