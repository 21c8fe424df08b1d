"""A release takes two as soon as the platform has a second administrator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.place import Place, served_place
from tests.gateway.screening.classifiers import classifier


def client(place: Place, name: str, *facts: str) -> Path:
    """Register a client as the first administrator would, and return its profile."""
    profile = place.folder / f"{name}.json"
    made = sealgate(
        "client", "create", name, "--name", name, *facts, "--out", profile,
        "--profile", place.folder / "data" / "admin.json",
    )  # fmt: skip
    assert made.code == ExitCode.OK, made.err
    return profile


def owner(place: Place, name: str) -> Path:
    return client(place, name, "--tenant", "duo", "--role", "owner", "--scope", "models",
                  "--scope", "artifacts", "--purpose", "care")  # fmt: skip


def push(profile: Path, version: str) -> None:
    graph, key = profile.with_name("model.onnx"), profile.with_name("owner.key")
    if not key.exists():
        graph.write_bytes(classifier())
        assert sealgate("model", "keygen", "--out", key).code == 0
        assert sealgate("model", "create", "m", "--no-personal", "--profile", profile).code == 0
    pushed = sealgate("model", "push", "m", version, graph, "--key", key, "--profile", profile)
    assert pushed.code == 0, pushed.err


def promote(profile: Path, version: str, *more: str) -> Said:
    return sealgate("model", "promote", "m", version, "--profile", profile, *more)


@pytest.mark.e2e
def test_alone_it_is_a_wait_for_a_second_person(tmp_path: Path) -> None:
    with served_place(tmp_path) as place:
        place.tenant("duo")
        first, second = owner(place, "first"), owner(place, "second")
        push(first, "1")
        assert promote(first, "1").code == ExitCode.OK, "the platform is in its solo mode"
        client(place, "admin-2", "--tenant", "platform", "--role", "administrator",
               "--scope", "admin")  # fmt: skip
        push(first, "2")
        waiting = promote(first, "2")
        assert (waiting.code, waiting.out) == (7, "")
        assert waiting.err.splitlines()[:2] == [
            "error: a second person must promote what you published",
            "next: ask another owner to run this command",
        ]
        told = json.loads(promote(first, "2", "--json").err)
        assert (told["status"], told["policy_ids"]) == (403, ["platform-four-eyes"])
        assert promote(second, "2").code == ExitCode.OK
        shown = sealgate("model", "show", "m", "--profile", first, "--json").json
        assert shown["current"]["version"] == "2"
