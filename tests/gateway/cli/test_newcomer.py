"""What somebody meets who does not know the commands yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from tests.gateway.cli.command import sealgate
from tests.gateway.place import Place

HOUSE = "newcomer"


@pytest.fixture(scope="module")
def officer(place: Place) -> Path:
    place.tenant(HOUSE)
    return place.profile(HOUSE, "officer")


@pytest.fixture(scope="module")
def owner(place: Place, officer: Path) -> Path:
    return place.profile(HOUSE, "owner")


@pytest.mark.parametrize(
    ("words", "guess"), [(("modle", "list"), "'model'"), (("model", "lst"), "'list'")]
)
def test_a_typing_error_is_told_what_was_meant_once(words: tuple[str, ...], guess: str) -> None:
    said = sealgate(*words)
    assert said.code == ExitCode.USAGE
    assert said.err.count("Did you mean") == said.err.count(guess) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "export", "--out"),
        ("audit", "proof", "0", "--out"),
        ("client", "create", "lost", "--tenant", HOUSE, "--name", "Lost", "--out"),
    ],
    ids=" ".join,
)
def test_a_folder_that_is_not_there_is_refused_before_anything_is_done(
    words: tuple[str, ...], place: Place, officer: Path, tmp_path: Path
) -> None:
    profile = place.folder / "data" / "admin.json" if "client" in words else officer
    said = sealgate(*words, tmp_path / "absent" / "file", "--profile", profile)
    assert said.code == ExitCode.USAGE
    assert "cannot be written" in said.err
    if "client" in words:
        listed = sealgate("client", "list", "--tenant", HOUSE, "--profile", profile, "--json")
        assert "lost" not in {client["id"] for client in listed.json}


def test_times_are_told_in_words_and_as_numbers_to_programs(owner: Path) -> None:
    made = sealgate("model", "create", "clock", "--no-personal", "--profile", owner)
    created = next(line for line in made.out.splitlines() if line.startswith("created "))
    assert created.endswith("Z")
    shown = sealgate("model", "show", "clock", "--profile", owner, "--json").json
    assert isinstance(shown["created"], int)


def test_a_model_that_is_not_registered_is_told_before_the_upload(
    owner: Path, tmp_path: Path
) -> None:
    key, file = tmp_path / "owner.key", tmp_path / "model.onnx"
    file.write_bytes(b"large")
    assert sealgate("model", "keygen", "--out", key).code == ExitCode.OK
    said = sealgate("model", "push", "nowhere", "1", file, "--key", key, "--profile", owner)
    assert said.code == ExitCode.NOT_FOUND
    assert "upload" not in said.err
    assert "next: sealgate model create nowhere" in said.err


def test_a_policy_set_that_is_refused_leads_to_why(owner: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.cedar"
    file.write_text("permit (principal, action, resourse);")
    said = sealgate("policy", "publish", file, "--profile", owner)
    assert said.code == ExitCode.USAGE
    assert f"next: sealgate policy validate {file}" in said.err


def test_an_export_that_is_none_says_so(tmp_path: Path, officer: Path) -> None:
    key = sealgate("audit", "key", "--profile", officer).out.strip()
    said = sealgate("audit", "verify", tmp_path / "absent.zip", "--key", key)
    assert said.code == ExitCode.UNVERIFIED
    assert "error: failed: the file cannot be read" in said.err
    garbled = sealgate("audit", "verify", tmp_path / "absent.zip", "--key", "none")
    assert "next: compare it with `sealgate audit key`" in garbled.err


def test_an_address_without_a_host_is_refused(tmp_path: Path) -> None:
    said = sealgate("init", "--data", tmp_path / "data", "--public-url", "gateway.example")
    assert said.code == ExitCode.USAGE
    assert "--public-url" in said.err
    assert not (tmp_path / "data").exists()


def test_a_profile_that_is_not_there_says_how_to_name_one() -> None:
    said = sealgate("whoami", "--profile", "/nowhere.json", "--json")
    assert "SEALGATE_PROFILE" in json.loads(said.err)["next"]
