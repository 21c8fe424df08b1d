"""Long work shows a bar for each of its stages."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from gateway.cli.output import Stages


@pytest.fixture
def bar() -> Progress:
    return Progress(console=Console(file=io.StringIO()))


def shown(bar: Progress) -> list[tuple[str, bool]]:
    return [(task.description, task.finished) for task in bar.tasks]


def test_each_stage_has_a_bar_that_is_full_when_the_next_begins(bar: Progress) -> None:
    stages = Stages(bar, "publish")
    stages(1, 6, "admission")
    stages(1, 6, "admission")
    stages(2, 6, "calibration")
    assert shown(bar) == [("publish: admission", True), ("publish: calibration", False)]
    stages.end()
    assert all(finished for _, finished in shown(bar))


def test_work_without_stages_has_one_bar_that_says_how_far_it_is(bar: Progress) -> None:
    stages = Stages(bar, "upload m.onnx")
    stages(25, 100)
    assert shown(bar) == [("upload m.onnx", False)]
    assert bar.tasks[0].percentage == 25
    stages(100, 100)
    stages.end()
    assert shown(bar) == [("upload m.onnx", True)]
