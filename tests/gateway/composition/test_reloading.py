"""What a running gateway takes over from its settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.composition.bootstrap import Plan, found
from gateway.composition.foundation import open_foundation
from gateway.composition.identity import make_identity
from gateway.composition.reloading import Reloading
from gateway.engine.pool import Room
from gateway.errors import ConfigurationError
from gateway.identity.errors import InvalidToken
from gateway.issuer_settings import TrustedIssuer
from gateway.log_sink import LogSink
from gateway.request_lines import RequestLines
from gateway.settings import Settings, load_settings
from tests.gateway.place import ENVIRONMENT

HOSPITAL = TrustedIssuer(
    issuer="https://id.example",
    audience="sealgate",
    clients={"their": "ours"},
    tenants=("acme",),
)


class Scene:
    def __init__(self, settings: Settings, identity: Any) -> None:
        self.now: Settings | Exception = settings
        self.identity = identity
        self.levels: list[str] = []
        self.rooms: list[Room] = []
        self.written: list[str] = []
        self.sink = LogSink()
        self.lines = RequestLines(self.written.append, clock=lambda: 0.0, monotonic=lambda: 0.0)
        self.reload = Reloading(
            settings,
            self.read,
            [],
            identity,
            self.rooms.append,
            self.sink,
            self.lines,
            self.set_level,
        )

    def set_level(self, level: str, sink: LogSink) -> None:
        assert sink is self.sink
        self.levels.append(level)

    def read(self) -> Settings:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def change(self, **values: Any) -> tuple[bool, dict[str, Any]]:
        assert isinstance(self.now, Settings)
        self.now = self.now.model_copy(update=values)
        with structlog.testing.capture_logs() as lines:
            well = self.reload()
        return well, dict(lines[-1])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    own: dict[str, str | int] = {
        "public_url": "http://127.0.0.1:8080",
        "audit_origin": "test",
        "federation": "off",
    }
    found(tmp_path / "data", Plan(own, "eu"), ENVIRONMENT)
    settings = load_settings(tmp_path / "data")
    with open_foundation(settings, ENVIRONMENT) as base:
        yield Scene(settings, make_identity(base))


def test_an_issuer_is_trusted_and_no_longer_without_a_restart(scene: Scene) -> None:
    issuers = scene.identity.issuers
    before = issuers.generation
    well, line = scene.change(issuers=(HOSPITAL,))
    assert (well, line["event"], line["changed"]) == (True, "reloaded", ["issuers"])
    assert issuers.trust(HOSPITAL.issuer).audience == "sealgate"
    assert issuers.generation != before, "remembered tokens are looked at anew"
    scene.change(issuers=())
    with pytest.raises(InvalidToken):
        issuers.trust(HOSPITAL.issuer)


def test_what_needs_a_restart_is_said_until_there_is_one(scene: Scene) -> None:
    for _ in range(2):
        well, line = scene.change(port=8081, log_level="warning")
        assert (well, line["needs_restart"]) == (True, ["port"])
    assert (line["changed"], scene.levels) == ([], ["warning"])


def test_bounds_of_engines_are_taken_over(scene: Scene) -> None:
    well, line = scene.change(
        run_timeout_seconds=5.0, run_memory_bytes=1 << 29, engines_memory_bytes=1 << 30
    )
    assert well
    assert line["changed"] == ["engines_memory_bytes", "run_memory_bytes", "run_timeout_seconds"]
    assert line["needs_restart"] == []
    (room,) = scene.rooms
    assert (room.run_seconds, room.each.memory_bytes, room.memory_bytes) == (5, 1 << 29, 1 << 30)


def test_what_is_laid_out_at_the_start_needs_a_restart(scene: Scene) -> None:
    _, line = scene.change(max_body_bytes=1 << 20)
    assert (line["needs_restart"], scene.rooms) == (["max_body_bytes"], [])


@pytest.mark.parametrize(
    "issuers",
    [(HOSPITAL, HOSPITAL), (HOSPITAL.model_copy(update={"algorithms": ("HS256",)}),)],
)
def test_settings_that_are_wrong_change_nothing(scene: Scene, issuers: Any) -> None:
    scene.change(issuers=(HOSPITAL,))
    generation = scene.identity.issuers.generation
    well, line = scene.change(issuers=issuers)
    assert (well, line["event"], line["log_level"]) == (False, "reload_refused", "error")
    assert scene.identity.issuers.generation == generation


def test_a_file_that_cannot_be_read_changes_nothing(scene: Scene) -> None:
    scene.now = ConfigurationError("`sealgate.toml` cannot be read as TOML")
    with structlog.testing.capture_logs() as lines:
        assert not scene.reload()
    assert lines[-1]["reason"] == "`sealgate.toml` cannot be read as TOML"


def test_a_log_file_is_opened_anew_and_kept_where_something_is_wrong(
    scene: Scene, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    scene.change(log_file=first)
    scene.sink.write("one\n")
    first.rename(tmp_path / "a.log.1")
    scene.change()
    scene.sink.write("two\n")
    assert (tmp_path / "a.log.1").read_text() == "one\n"
    assert first.read_text() == "two\n"
    well, line = scene.change(log_file=second, issuers=(HOSPITAL, HOSPITAL))
    assert (well, line["event"]) == (False, "reload_refused")
    well, line = scene.change(log_file=tmp_path / "no folder" / "c.log", issuers=())
    assert (well, "`log_file`" in line["reason"]) == (False, True)
    scene.sink.write("three\n")
    assert first.read_text() == "two\nthree\n"


def test_which_requests_get_a_line_is_taken_over(scene: Scene) -> None:
    ended = "0" * 31 + "f"
    assert not scene.lines.wanted(ended, served=False), "nothing was set yet"
    scene.change(log_requests="all")
    assert scene.lines.wanted(ended, served=True)
    scene.change(log_requests="errors")
    assert [scene.lines.wanted(ended, served=each) for each in (True, False)] == [False, True]
    scene.change(log_level="warning")
    assert not scene.lines.wanted(ended, served=False)
