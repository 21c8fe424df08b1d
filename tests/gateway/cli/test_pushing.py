"""What a push looks at before it sends anything, and the command that it ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.pushing import Push, advice_of, check_possible

PUSH = Push("m", "1", Path("a model.onnx"), Path("k"), None, None, ("x",))


class Answers:
    """A gateway that answers reads from a table; what is not in it is absent."""

    def __init__(self, **found: dict[str, Any]) -> None:
        self.found = {"/v1/models/m": {}, "/v1/jobs": {"running": 0, "limit": 2}}
        if "version" in found:
            self.found["/v1/models/m/versions/1"] = found["version"]
        if "jobs" in found:
            self.found["/v1/jobs"] = found["jobs"]

    def get(self, path: str) -> dict[str, Any]:
        if path not in self.found:
            raise CommandFailed("absent", ExitCode.NOT_FOUND)
        return self.found[path]


def look(answers: Answers) -> None:
    check_possible(cast("Connection", answers), PUSH)


def test_a_free_name_and_that_of_a_refused_version_may_be_pushed() -> None:
    look(Answers())
    look(Answers(version={"state": "rejected"}))


def test_a_name_that_is_taken_is_told_before_the_upload() -> None:
    with pytest.raises(CommandFailed, match="exists already"):
        look(Answers(version={"state": "candidate"}))


def test_too_many_jobs_are_told_before_the_upload() -> None:
    with pytest.raises(CommandFailed, match="2 jobs") as refused:
        look(Answers(jobs={"running": 2, "limit": 2}))
    assert refused.value.code is ExitCode.TRY_AGAIN
    assert "sealgate model push m 1 'a model.onnx'" in refused.value.advice


def test_the_command_to_go_on_with_is_whole() -> None:
    assert PUSH.command("--sample", "SAMPLE.npz") == (
        "sealgate model push m 1 'a model.onnx' --key k --allow-nan x --sample SAMPLE.npz"
    )


@pytest.mark.parametrize("reason", ["external_data", "border_map", "opset", "functions"])
def test_what_admission_refuses_and_a_conversion_mends_names_the_conversion(reason: str) -> None:
    refused = CommandFailed("refused", advice="by hand", problem={"reason": reason})
    assert advice_of(refused, PUSH) == (
        "sealgate model convert 'a model.onnx' --out 'a model-served.onnx'; then: "
        "sealgate model push m 1 'a model-served.onnx' --key k --allow-nan x"
    )


def test_what_inputs_mend_asks_for_some() -> None:
    refused = CommandFailed("refused", advice="send inputs", problem={"reason": "not_runnable"})
    assert advice_of(refused, PUSH).endswith("--allow-nan x --sample SAMPLE.npz")
