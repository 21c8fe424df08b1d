"""A person's sign-in on this machine: which profile it is of, and what is told when it ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from gateway.client.profile import load_profile
from gateway.client.proofs import new_proof_key
from tests.gateway.cli.command import sealgate

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEALGATE_PROFILE", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def signed_in(home: Path, name: str) -> Path:
    folder = home / ".config/sealgate/profiles"
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"url": NOBODY, "client_id": "sealgate-cli", "binding": "dpop"}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(fields | {"session_file": f"{name}.json.session"}))
    session = load_profile(path).session
    assert session is not None
    session.write("r" * 43, new_proof_key().as_dict(private=True))
    return path


@pytest.mark.parametrize(
    "url",
    ["gateway.example", "http://[::1", "https://gateway.example/people", "ftp://a", "https://"],
)
def test_login_names_an_address_that_cannot_be_one(url: str) -> None:
    done = sealgate("login", "--url", url, "--profile", "work")
    assert (done.code, "--url" in done.err) == (ExitCode.USAGE, True)


def test_what_helps_signs_in_to_the_profile_that_was_used(home: Path) -> None:
    path = signed_in(home, "work")
    path.with_name("work.json.session").unlink()
    done = sealgate("whoami", "--profile", "work")
    assert done.code == ExitCode.SIGN_IN
    assert f"sealgate login --profile {path}" in done.err


def test_a_folder_of_the_same_name_is_not_taken_for_a_profile(home: Path) -> None:
    signed_in(home, "demo")
    Path("demo").mkdir()
    assert "no file" not in sealgate("whoami", "--profile", "demo").err
    assert sealgate("whoami", "--profile", "demo").code == ExitCode.TRY_AGAIN


def test_a_file_is_not_chosen_in_place_of_a_profile_with_a_name(home: Path) -> None:
    signed_in(home, "demo")
    Path("admin.json").write_text("{}")
    Path("demo").write_text("a file that is called like the profile")
    assert sealgate("profile", "use", "admin.json").code == ExitCode.USAGE
    assert sealgate("profile", "use", "demo", "--json").json == {"used": "demo"}
    (row,) = sealgate("profile", "list", "--json").json
    assert (row["name"], row["client_id"], row["used"]) == ("demo", "sealgate-cli", True)


def test_who_signs_out_where_the_gateway_is_silent_hears_that_the_sign_in_lives_on(
    home: Path,
) -> None:
    path = signed_in(home, "work")
    done = sealgate("logout", "--profile", "work")
    assert (done.code, path.with_name("work.json.session").exists()) == (ExitCode.TRY_AGAIN, False)
    assert "the gateway did not end the sign-in" in done.err
    assert "/people" in done.err


def test_signing_out_waits_for_a_command_that_renews_the_sign_in(home: Path) -> None:
    path = signed_in(home, "work")
    session = load_profile(path).session
    assert session is not None
    leaving = threading.Thread(target=sealgate, args=("logout", "--profile", "work"))
    with session.turn():
        leaving.start()
        leaving.join(0.5)
        session.write("s" * 43, new_proof_key().as_dict(private=True))
    leaving.join()
    assert not session.path.exists()
