"""The right to be forgotten, as an officer grants it, and what is left of a person afterwards."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, problem, until

NOBODY = "sub_" + "0" * 32


@dataclass(frozen=True)
class Officer:
    """Calls as the compliance officer."""

    house: House

    def post(self, path: str, **body: str) -> httpx.Response:
        headers = self.house.bearer("clinic-officer")
        return self.house.cast.http.post(self.house.url + path, json=body, headers=headers)

    def look_up(self, person: str) -> httpx.Response:
        return self.post("/v1/subjects/lookup", identifier=person)

    def dossier(self, ref: str) -> httpx.Response:
        headers = self.house.bearer("clinic-officer")
        return self.house.cast.http.get(f"{self.house.url}/v1/subjects/{ref}", headers=headers)

    def erase(self, ref: str, confirm: str | None = None) -> httpx.Response:
        return self.post(f"/v1/subjects/{ref}/erase", confirm=confirm or ref)


def personal_bytes(house: House, ref: str) -> list[bytes]:
    """Everything stored that opens or is sealed about a person, as it stands in the files."""
    found: list[bytes] = []
    for name, query in (
        ("audit.db", "SELECT ct FROM sealed WHERE ref = ?"),
        ("subjects.db", "SELECT mac FROM subject WHERE ref = ?"),
        ("subjects.db", "SELECT wrapped_key FROM subject WHERE ref = ?"),
    ):
        with contextlib.closing(sqlite3.connect(house.place.data / name)) as connection:
            found += [value for (value,) in connection.execute(query, (ref,))]
    return found


def on_disk(house: House, value: bytes) -> list[str]:
    """Names of the files of the data folder that hold a value, write-ahead logs included."""
    files = [path for path in house.place.data.rglob("*") if path.is_file()]
    return [path.name for path in files if value in path.read_bytes()]


def test_an_erased_person_is_gone_and_the_log_still_proves_itself(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house, person, other = fresh(), "MRN-0042-erase-me", "MRN-0043-keep-me"
    officer = Officer(house)
    receipts = [
        house.infer("biopsy", row=row, subject=person).headers["sealgate-audit"] for row in range(3)
    ]
    kept = house.infer("biopsy", subject=other).headers["sealgate-audit"]
    ref = officer.look_up(person).json()["ref"]
    kept_ref = officer.look_up(other).json()["ref"]
    shown = officer.dossier(ref).json()["items"]
    inferences = [item for item in shown if item["event"]["action"] == "releaseOutput"]
    assert [item["receipt"] for item in inferences] == receipts
    assert [item["event"]["purpose"] for item in inferences] == ["diagnosis"] * 3
    assert kept not in [item["receipt"] for item in shown]
    until(lambda: len(personal_bytes(house, ref)) == 3 + 2)  # what is new stands in the journal
    sealed = personal_bytes(house, ref)
    assert all(on_disk(house, value) for value in sealed)

    done = officer.erase(ref)
    assert done.status_code == 200
    result = house.event(done.json()["receipt"])
    assert (result["action"], result["phase"], result["outcome"]) == (
        "eraseSubject",
        "result",
        "done",
    )
    assert result["subject_refs"] == [ref]

    assert [on_disk(house, value) for value in sealed] == [[]] * len(sealed)
    for answer in (officer.look_up(person), officer.dossier(ref), officer.erase(ref)):
        assert answer.status_code == 404
        assert problem(answer) in ("not-found", "subject-erased")
        assert person not in answer.text
    assert officer.dossier(kept_ref).status_code == 200
    assert house.event(receipts[0])["subject_refs"] == [ref], "the entry stays, and names nobody"

    key = house.get("/v1/audit/key", "clinic-officer")["key"]
    export = house.export(tmp_path / "audit.zip")
    exported = house.command("audit", "verify", str(export), "--key", key)
    assert exported.returncode == 0, exported.stderr
    again = house.infer("biopsy", subject=person)
    assert again.status_code == 200
    assert officer.look_up(person).json()["ref"] != ref, "the old entries must stay unlinkable"
    house.stop()
    verified = house.verify()
    assert verified.returncode == 0, verified.stdout
    assert {log["log"]: log["erased"] for log in json.loads(verified.stdout)["logs"]} == {
        "demo.sealgate/bank": 0,
        "demo.sealgate/clinic": 3,
        "demo.sealgate/platform": 0,
    }
    for name in (person, other):
        assert on_disk(house, name.encode()) == []
        assert name not in house.log_path.read_text()


def test_what_is_nobody_is_not_found(house: House) -> None:
    officer = Officer(house)
    for answer in (
        officer.look_up("MRN-nobody"),
        officer.dossier(NOBODY),
        officer.erase(NOBODY),
        officer.dossier("MRN-nobody"),
        officer.erase("MRN-nobody"),
        officer.erase("sub_" + "Z" * 32),
    ):
        assert answer.status_code == 404, answer.text
        assert problem(answer) == "not-found"
        assert "MRN" not in answer.text


def test_an_erasure_must_repeat_the_reference(house: House) -> None:
    officer = Officer(house)
    assert house.infer("biopsy", subject="MRN-7-stays").status_code == 200
    ref = officer.look_up("MRN-7-stays").json()["ref"]
    for confirm in (NOBODY, ref.upper(), ref[:-1]):
        answer = officer.erase(ref, confirm)
        assert (answer.status_code, problem(answer)) == (422, "invalid-request")
    assert officer.look_up("MRN-7-stays").json()["ref"] == ref


@pytest.mark.parametrize("client", ["clinic-app", "clinic-owner", "bank-app"])
def test_only_an_officer_of_the_tenant_reaches_a_subject(house: House, client: str) -> None:
    assert house.infer("biopsy", subject="MRN-8").status_code == 200
    ref = Officer(house).look_up("MRN-8").json()["ref"]
    headers = house.bearer(client)
    for path, body in (
        ("/v1/subjects/lookup", {"identifier": "MRN-8"}),
        (f"/v1/subjects/{ref}/erase", {"confirm": ref}),
    ):
        answer = house.cast.http.post(house.url + path, json=body, headers=headers)
        assert (answer.status_code, problem(answer)) == (403, "forbidden")
        assert "MRN" not in answer.text
    answer = house.cast.http.get(f"{house.url}/v1/subjects/{ref}", headers=headers)
    assert (answer.status_code, problem(answer)) == (403, "forbidden")
    assert Officer(house).dossier(ref).status_code == 200
