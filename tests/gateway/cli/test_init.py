from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.failures import ExitCode
from gateway.settings import load_settings
from tests.gateway.cli.command import sealgate


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """The command narrows that of its process, which here is ours."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_folder_is_made_and_says_what_comes_next(tmp_path: Path) -> None:
    said = sealgate("init", "--data", tmp_path / "data", "--public-url", "http://127.0.0.1:4711")
    assert (said.code, said.err) == (0, f"next: sealgate serve --data {tmp_path / 'data'}\n")
    settings = load_settings(tmp_path / "data")
    assert (settings.port, settings.audit_origin, settings.database_url) == (
        4711,
        "127.0.0.1",
        None,
    )


def test_a_database_is_kept_in_the_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    said = sealgate("init", "--data", tmp_path / "data", "--database-url", url, "--json")
    assert said.code == 0
    assert load_settings(tmp_path / "data").database_url == url
    assert not (tmp_path / "data" / "control.db").exists()
    again = sealgate("init", "--data", tmp_path / "other", "--database-url", url)
    assert again.code == 1
    assert "another data folder" in again.err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("url", ["postgresql://a:hush@db/x", "what?", "mysql://db/x"])
def test_an_address_that_must_not_be_kept_is_refused_and_not_echoed(
    tmp_path: Path, url: str
) -> None:
    said = sealgate("init", "--data", tmp_path / "data", "--database-url", url)
    assert said.code == 1
    assert list(tmp_path.iterdir()) == []
    assert url not in said.err
    assert "hush" not in said.err


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999", "models.example"])
def test_an_address_that_is_none_is_refused_in_one_line(tmp_path: Path, url: str) -> None:
    """An open bracket was a traceback."""
    said = sealgate("init", "--data", tmp_path / "data", "--public-url", url)
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: --public-url is no address\nnext: ")
    assert not (tmp_path / "data").exists()
