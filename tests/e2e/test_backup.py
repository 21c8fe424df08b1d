"""Backups of a gateway that works meanwhile: each is restored, started, verified and held to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.cast import Cast
from gateway.storage.database import open_database
from gateway.storage.stores import sql_stores
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import TENANTS, House, at_free_ports, sealgate_command, until
from tests.e2e.load import Answered, Load, whole_log


def back_up(house: House, to: Path) -> dict[str, Any]:
    done = sealgate_command("backup", "--data", str(house.place.data), "--to", str(to), "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def unlock_of(house: House) -> tuple[str, str]:
    return ("--unlock-secret", str(house.place.data / "keystore/unlock.key"))


def restored(house: House, backup: Path, folder: Path, *more: str) -> House:
    """Restore a backup of a house into a place of its own; returns it stopped."""
    folder.mkdir()
    shutil.copytree(house.place.folder / "profiles", folder / "profiles")
    to = ("--to", str(folder / "data"))
    done = sealgate_command("restore", str(backup), *to, *unlock_of(house), *more)
    assert done.returncode == 0, done.stderr
    place = at_free_ports(replace(house.place, folder=folder))
    cast = Cast(place, house.cast.narrator, dict(house.cast.secrets))
    return House(place, cast, house.owned)


@contextmanager
def erasing(house: House) -> Iterator[list[str]]:
    """Ask about people and erase them until the block ends; yields who is erased."""
    stop, erased = threading.Event(), list[str]()

    def work() -> None:
        with httpx.Client(timeout=60) as client:
            headers = house.bearer("clinic-officer")
            number = 0
            while not stop.is_set():
                number += 1
                person = f"MRN-{number}"
                body = house.owned["biopsy"].body(subject=person)
                path = f"{house.url}/v2/models/biopsy/infer"
                client.post(path, json=body, headers=house.bearer()).raise_for_status()
                look = f"{house.url}/v1/subjects/lookup"
                ref = client.post(look, json={"identifier": person}, headers=headers).json()["ref"]
                erase = f"{house.url}/v1/subjects/{ref}/erase"
                # A copy that is being made keeps the old pages: then it is finished behind it.
                if client.post(erase, json={"confirm": ref}, headers=headers).is_success:
                    erased.append(person)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield erased
    finally:
        stop.set()
        thread.join()


def missing_payloads(house: House) -> list[str]:
    """Digests that a record of a stopped gateway names and its artifact store lacks."""
    database = open_database(f"sqlite:///{house.place.data / 'control.db'}")
    with closing(database):
        registry = sql_stores(database).registry
        named = [
            payload.digest
            for tenant in TENANTS
            for model in registry.list_models(tenant, after="", limit=100)
            for version in registry.list_versions(tenant, model.name, after="", limit=100)
            for payload in version.payloads
        ]
    assert named
    store = house.place.data / "artifacts/payload"
    return [digest for digest in named if not (store / digest).is_file()]


def hold(house: House, before: list[Answered], backup: dict[str, Any]) -> None:
    """Fail unless a restored gateway serves, verifies, and has all that was answered before."""
    with house:
        log = whole_log(house)
        assert house.infer("digits").status_code == 200
        assert house.infer("biopsy", subject="somebody").status_code == 200
    assert missing_payloads(house) == []
    receipts = [answer for answer in before if answer.status == 200]
    for answer in receipts:
        event = log[int(str(answer.receipt).rpartition("/")[2])]
        assert (event["action"], event["outcome"]) == ("releaseOutput", "allow")
        assert (event["model_id"], event["n_in"]) == (answer.model, answer.length)
    (told,) = [event for event in log.values() if event["action"] == "restore"]
    assert told["resource"] == f"Backup::{backup['id']}"
    assert log[told["n_in"]] == told, "it is the first entry behind the backup"
    verified = house.verify()
    assert verified.returncode == 0, verified.stdout


def test_every_backup_under_load_holds_what_was_answered_before_it(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh()
    made: list[tuple[list[Answered], dict[str, Any]]] = []
    pushing = threading.Thread(target=house.push, args=(house.owned["digits"], "2.0"))
    with Load(house) as load, erasing(house) as erased:
        load.wait_for(50)
        pushing.start()
        for number in range(4):
            before = load.answers[:]
            made.append((before, back_up(house, tmp_path / f"{number}.backup")))
            load.wait_for(20)
        pushing.join()
        until(lambda: erased)
    assert max(answer.status for answer in load.answers) < 500, "nobody noticed the backups"
    assert made[-1][1]["entries"] > made[0][1]["entries"]
    house.stop()
    for number, (before, backup) in enumerate(made):
        assert [one.status for one in before if one.status == 200]
        hold(
            restored(house, tmp_path / f"{number}.backup", tmp_path / f"restored-{number}"),
            before,
            backup,
        )


def test_a_backup_of_a_stopped_gateway_is_restored_likewise(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh()
    with Load(house) as load:
        load.wait_for(20)
    house.stop()
    backup = back_up(house, tmp_path)
    assert backup["left_out"] == ["keystore/unlock.key"]
    hold(restored(house, Path(backup["file"]), tmp_path / "restored"), load.answers, backup)


def test_a_backup_that_is_killed_leaves_no_name_and_nothing_for_good(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house, to = fresh(), tmp_path / "backups"
    to.mkdir()
    before = sorted(path.name for path in house.place.data.rglob("*"))
    chance = random.Random(7)  # noqa: S311 - moments to kill at
    words = [sys.executable, "-m", "gateway", "backup", "--data", str(house.place.data)]
    with Load(house, callers=2) as load:
        for number in range(8):
            killed_while_it_writes([*words, "--to", str(to / f"{number}.backup")], chance)
            load.wait_for(5)
    assert [answer for answer in load.answers if answer.status >= 500] == [], (
        house.log_path.read_text()[-3000:]
    )
    for whole in to.glob("*.backup"):
        done = sealgate_command("backup", "verify", str(whole), *unlock_of(house))
        assert done.returncode == 0, done.stderr
        whole.unlink()
    back_up(house, to / "last.backup")
    assert os.listdir(to) == ["last.backup"], "what was left is gone"
    after = sorted(path.name for path in house.place.data.rglob("*"))
    assert [name for name in after if name not in before] == ["backup.json"]


def killed_while_it_writes(words: list[str], chance: random.Random) -> None:
    to = Path(words[-1]).parent
    left = set(to.glob(".*.partial"))
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: process.poll() is not None or set(to.glob(".*.partial")) - left)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
