from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.demo.narrator import BrokenPromise, Narrator, hold


def narrator(*, terminal: bool = False) -> tuple[Narrator, io.StringIO]:
    stream = io.StringIO()
    return Narrator(Console(file=stream, force_terminal=terminal, width=100)), stream


def test_a_check_that_holds_is_marked_with_its_evidence() -> None:
    tour, stream = narrator()
    with tour.check("no plaintext on disk") as evidence:
        evidence.text = "12 files searched"
    with tour.check("tenants are apart"):
        pass
    assert stream.getvalue().splitlines() == [
        "  ✓ no plaintext on disk 12 files searched",
        "  ✓ tenants are apart",
    ]
    assert (tour.kept, tour.broken) == (2, 0)


def test_a_check_that_does_not_hold_says_why_and_the_tour_goes_on() -> None:
    tour, stream = narrator()
    with tour.check("tenants are apart"):
        hold(1 + 1 == 3, "a stranger was answered")
        raise AssertionError("not reached")
    with tour.check("the next"):
        hold(True, "")
    assert "✗ tenants are apart: a stranger was answered" in stream.getvalue()
    assert (tour.kept, tour.broken) == (1, 1)


def test_a_fault_is_told_by_its_kind_and_counts_as_broken() -> None:
    tour, stream = narrator()
    with tour.check("an answer"):
        raise ConnectionError("secret of the cast")
    assert "✗ an answer: ConnectionError" in stream.getvalue()
    assert "secret" not in stream.getvalue()
    assert tour.broken == 1


def test_an_interruption_ends_the_tour() -> None:
    tour, _ = narrator()
    with pytest.raises(KeyboardInterrupt), tour.check("an answer"):
        raise KeyboardInterrupt
    assert (tour.kept, tour.broken) == (0, 0)


@pytest.mark.parametrize("nothing", [None, False, 0, "", []])
def test_what_is_nothing_does_not_hold(nothing: object) -> None:
    with pytest.raises(BrokenPromise, match="there was nothing"):
        hold(nothing, "there was nothing")


def test_in_a_pipe_each_stage_is_a_line_and_nothing_is_coloured() -> None:
    tour, stream = narrator()
    tour.chapter("Tokens")
    tour.say("first of all")
    with tour.stages(2, "training") as stages:
        stages.advance("north")
        stages.advance("south")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "",
        "Tokens",
        "  first of all",
        "    training",
        "    1/2 north",
        "    2/2 south",
    ]
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_stages_are_a_bar_that_goes_away() -> None:
    tour, stream = narrator(terminal=True)
    with tour.stages(2, "training") as stages:
        stages.advance("north")
        stages.advance("south")
    assert "\x1b" in stream.getvalue()
    assert "1/2 north" not in stream.getvalue().splitlines()[-1:]


def test_a_stage_that_fails_is_the_checks_own_failure() -> None:
    tour, _ = narrator()
    with tour.check("training"), tour.stages(2, "training") as stages:
        stages.advance("north")
        hold(False, "south did not answer")
    assert tour.broken == 1
