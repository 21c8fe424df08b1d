from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.reader import LogReader
from gateway.cli.profile import load_profile
from gateway.composition.authorization import solo_since
from gateway.composition.bootstrap import Founded, Plan, found
from gateway.composition.environment import Environment
from gateway.composition.foundation import Foundation, open_foundation
from gateway.composition.gateway import compose
from gateway.errors import ConfigurationError, SealgateError
from gateway.identity.records import SCOPES
from gateway.identity.registration import register_client
from gateway.settings import load_settings
from gateway.tenancy.solo import SOLO_SECONDS, SoloMode
from tests.gateway.place import ENVIRONMENT

SETTINGS: dict[str, str | int] = {
    "public_url": "http://127.0.0.1:1",
    "port": 1,
    "audit_origin": "test",
    "federation": "off",
}
PLAN = Plan(SETTINGS, "eu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Founded]:
    data = tmp_path_factory.mktemp("founded") / "data"
    return data, found(data, PLAN, ENVIRONMENT)


@pytest.fixture
def opened(made: tuple[Path, Founded]) -> Iterator[Foundation]:
    with open_foundation(load_settings(made[0]), ENVIRONMENT) as foundation:
        yield foundation


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_founded_folder_opens_and_composes(opened: Foundation) -> None:
    doors = compose(opened).doors
    assert [door.name for door in doors] == ["public", "operations"]


def test_an_empty_folder_may_be_given(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    found(data, PLAN, ENVIRONMENT)
    assert load_settings(data).audit_origin == "test"


@pytest.mark.parametrize("kind", ["file in it", "hidden file in it", "a file", "founded"])
def test_what_is_there_is_left_untouched(
    tmp_path: Path, made: tuple[Path, Founded], kind: str
) -> None:
    data = tmp_path / "data"
    if kind == "a file":
        data.write_text("mine")
    elif kind == "founded":
        data = made[0]
    else:
        data.mkdir()
        (data / (".hidden" if "hidden" in kind else "mine.txt")).write_text("mine")
    before = everything(data.parent)
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        found(data, PLAN, ENVIRONMENT)
    assert everything(data.parent) == before


class Dry:
    """A source of randomness that gives out half way."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self, length: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError("no entropy")
        return os.urandom(length)


@pytest.mark.parametrize(
    "changes",
    [
        {"public_url": "http://gateway.example"},
        {"host": "0.0.0.0"},
        {"audit_origin": ""},
        {"no_such_setting": 1},
        {"keystore_unlock": "passphrase"},
        {"database_url": "nonsense://"},
    ],
    ids=str,
)
def test_an_unsafe_setting_leaves_nothing_behind(tmp_path: Path, changes: dict[str, Any]) -> None:
    data = tmp_path / "data"
    with pytest.raises(SealgateError):
        found(data, replace(PLAN, settings=SETTINGS | changes), ENVIRONMENT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("calls", [1, 4, 7, 10])
def test_a_fault_half_way_leaves_nothing_behind(tmp_path: Path, calls: int) -> None:
    environment = Environment(ENVIRONMENT.clock, ENVIRONMENT.monotonic, Dry(calls))
    with pytest.raises(OSError, match="no entropy"):
        found(tmp_path / "data", PLAN, environment)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        found(tmp_path / "file" / "data", PLAN, ENVIRONMENT)


def test_everything_is_for_its_owner_only(made: tuple[Path, Founded]) -> None:
    data, _ = made
    for path in (data, *data.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        allowed = 0o700 if path.is_dir() else 0o600
        assert mode & ~allowed == 0, f"{path.name} has mode {mode:o}"


def test_the_first_entry_records_that_one_acts_alone(
    made: tuple[Path, Founded], opened: Foundation
) -> None:
    entries = opened.reader.events("platform")
    assert len(entries) == 1
    event = entries[0].event
    assert (event.action, event.reason, event.outcome) == ("initialise", "solo_mode", "done")
    assert (event.category, event.resource) == ("administration", "Service::admin")
    assert solo_since(opened) == event.ts // 1_000_000_000
    assert opened.log.verifier("platform").vkey == made[1].log_key
    assert made[1].log_key.startswith("test/platform+")
    assert isinstance(opened.reader, LogReader)


def test_the_administrators_private_key_is_written_once_and_kept_nowhere_else(
    made: tuple[Path, Founded], opened: Foundation
) -> None:
    data, founded = made
    profile = json.loads(founded.profile.read_bytes())
    assert profile == {
        "url": "http://127.0.0.1:1",
        "client_id": "admin",
        "key_file": "admin.key",
    }
    load_profile(founded.profile)
    private = json.loads((data / "admin.key").read_bytes())["d"]
    holders = [name for name, held in everything(data).items() if held and private.encode() in held]
    assert holders == ["admin.key"]
    client = opened.stores.clients.get("admin")
    assert client is not None
    assert client.roles == {"administrator", "officer"}
    assert client.tenant == "platform"
    assert client.jwks is not None
    assert "d" not in client.jwks["keys"][0]


def test_solo_mode_ends_with_a_second_administrator_and_after_thirty_days(tmp_path: Path) -> None:
    data = tmp_path / "data"
    found(data, PLAN, ENVIRONMENT)
    with open_foundation(load_settings(data), ENVIRONMENT) as base:
        began = solo_since(base)
        assert began is not None
        now = [float(began)]
        solo = SoloMode(
            base.stores.clients, began, lambda: now[0], lambda: base.revocation_state.epoch
        )
        assert solo()
        now[0] = began + SOLO_SECONDS - 1
        assert solo()
        now[0] = began + SOLO_SECONDS
        assert not solo()
        now[0] = float(began)
        assert solo()
        register_client(
            base.stores.clients,
            base.stores.tenants,
            "platform",
            "second",
            "Second administrator",
            roles=frozenset({"administrator"}),
            scopes=SCOPES,
            auth_method="client_secret_basic",
            token_binding="none",
            random_bytes=ENVIRONMENT.random_bytes,
        )
        base.stores.revocations.bump()
        base.revocation_state.refresh()
        assert not solo()


def test_a_log_that_begins_otherwise_has_no_solo_mode(tmp_path: Path) -> None:
    data = tmp_path / "data"
    found(data, PLAN, ENVIRONMENT)
    for leftover in data.glob("audit.db*"):
        leftover.unlink()
    (data / "checkpoints.json").unlink(missing_ok=True)
    with open_foundation(load_settings(data), ENVIRONMENT, founding=True) as base:
        assert solo_since(base) is None


@pytest.mark.parametrize("name", ["audit.db", "subjects.db", "control.db"])
def test_a_folder_that_lost_a_database_is_refused(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    found(data, PLAN, ENVIRONMENT)
    (data / name).unlink()
    with (
        pytest.raises(ConfigurationError, match=name),
        open_foundation(load_settings(data), ENVIRONMENT),
    ):
        pass
    assert not (data / name).exists()
