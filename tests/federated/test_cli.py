from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import onnx
import pytest

with warnings.catch_warnings():
    # This typer asks click for names that the next click will not have.
    warnings.simplefilter("ignore", DeprecationWarning)
    from typer.testing import CliRunner

    from federated.cli import federation, site

from federated.site.runner import read_status, write_status
from tests.federated.test_site import GOOD

runner = CliRunner()


def test_simulate_prints_lines_in_a_pipe(tmp_path: Path) -> None:
    # A group with one command would otherwise be taken for that command.
    arguments = ["--rounds", "2", "--out", str(tmp_path / "m.onnx")]
    done = runner.invoke(federation, ["simulate", *arguments])
    assert done.exit_code == 0, done.output
    assert "round aggregated  round 2" in done.output
    assert "accuracy over all rows" in done.output
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"))


def test_simulate_prints_json_that_is_the_same_each_time() -> None:
    arguments = ["simulate", "--json", "--sites", "2"]
    first, second = (runner.invoke(federation, arguments) for _ in "ab")
    events = [json.loads(line) for line in first.output.splitlines()]
    assert events[0] == {"type": "run_started", "seq": 1}
    assert events[-1]["type"] == "run_finished"
    assert first.output == second.output


def test_keygen_prints_the_public_half_only(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    done = runner.invoke(site, ["keygen", "--out", str(path)])
    assert done.exit_code == 0
    assert done.output.startswith("ecdsa-sha2-nistp384 ")
    assert "PRIVATE" not in done.output
    again = runner.invoke(site, ["keygen", "--out", str(path)])
    assert again.exit_code == 1
    assert "exists" in str(again.exception)


def test_run_tells_what_is_wrong_with_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(GOOD)
    done = runner.invoke(site, ["run", "--config", str(config)])
    assert done.exit_code == 1
    assert "`ca_file` does not point to a file" in str(done.exception)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("-")
    (tmp_path / "rows.npz").write_bytes(b"-")
    (tmp_path / "state").mkdir()
    runner.invoke(site, ["keygen", "--out", str(tmp_path / "keys" / "node.key")])
    (tmp_path / "site.toml").write_text(GOOD)
    return tmp_path / "site.toml"


@pytest.mark.parametrize(
    ("pid", "supernode", "code"),
    [(os.getpid(), "ready", 0), (os.getpid(), "starting", 1), (2**22 + 1, "ready", 1)],
    ids=["here", "starting", "gone"],
)
def test_status(config: Path, pid: int, supernode: str, code: int) -> None:
    write_status(config.parent / "state", {"pid": pid, "supernode": supernode})
    done = runner.invoke(site, ["status", "--config", str(config), "--json"])
    assert done.exit_code == code
    assert json.loads(done.output)["running"] == (pid == os.getpid())


def test_status_of_a_site_that_never_ran(config: Path) -> None:
    assert read_status(config.parent / "state") is None
    done = runner.invoke(site, ["status", "--config", str(config)])
    assert done.exit_code == 1
    assert "running" in done.output
