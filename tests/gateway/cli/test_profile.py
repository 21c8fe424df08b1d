from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.profile import find_profile, load_profile
from tests.gateway.cli.command import sealgate


def _profile(folder: Path, mode: int = 0o600, **fields: Any) -> Path:
    secret = folder / "secret"
    secret.write_text("s3cr3t\n")
    secret.chmod(mode)
    path = folder / "profile.json"
    base = {"url": "https://gateway.example", "client_id": "c", "secret_file": "secret"}
    path.write_text(json.dumps({k: v for k, v in (base | fields).items() if v is not None}))
    return path


def test_paths_are_relative_to_the_profile(tmp_path: Path) -> None:
    profile = load_profile(_profile(tmp_path))
    assert (profile.secret, profile.key, profile.binding) == ("s3cr3t", None, "none")


@pytest.mark.parametrize(
    "fields",
    [
        {"url": None},
        {"url": "file:///etc"},
        {"url": "https://gateway.example/path"},
        {"client_id": None},
        {"secret_file": None},
        {"key_file": "key"},
        {"colour": "red"},
        {"client_id": 7},
        {"secret_file": "absent"},
    ],
)
def test_a_profile_that_is_not_clear_is_not_used(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(CommandFailed) as refused:
        load_profile(_profile(tmp_path, **fields))
    assert refused.value.code == ExitCode.SIGN_IN


def test_credentials_that_others_can_read_are_not_used(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as refused:
        load_profile(_profile(tmp_path, mode=0o640))
    assert refused.value.advice.startswith("chmod 600")


def test_option_over_environment_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALGATE_PROFILE", "/from/environment")
    assert find_profile(tmp_path) == tmp_path
    assert find_profile(None) == Path("/from/environment")
    monkeypatch.delenv("SEALGATE_PROFILE")
    assert find_profile(None).name == "profile.json"


def test_a_profile_that_is_wrong_tells_where_and_what_may_be_meant(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.json"
    path.write_text('{\n  "url": "https://models.example",\n  "secret": hunter2\n}\n')
    with pytest.raises(CommandFailed) as refused:
        load_profile(path)
    assert "line 3, column 13" in refused.value.what
    assert "hunter2" not in refused.value.what
    path.write_text('{"url": "https://models.example", "clientid": "a", "secret_file": "s"}')
    with pytest.raises(CommandFailed) as refused:
        load_profile(path)
    assert refused.value.advice == "did you mean `client_id`?"


def test_a_named_profile_is_not_the_file_that_lies_where_a_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").write_text("{}")
    assert find_profile(Path("work")) == Path("work")
    unused = sealgate("profile", "use", "work")
    assert (unused.code, "no profile of this name" in unused.err) == (ExitCode.USAGE, True)
    folder = tmp_path / ".config/sealgate/profiles"
    folder.mkdir(parents=True)
    named = _profile(folder).rename(folder / "work.json")
    assert find_profile(Path("work")) == named
    assert sealgate("profile", "use", "work").code == ExitCode.OK
    (row,) = sealgate("profile", "list", "--json").json
    assert (row["url"], row["used"]) == ("https://gateway.example", True)
