"""Batch jobs through the real command and a real gateway, killed and cut off like one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.canary import files_of
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, until

CALLER = "clinic-app"
CHUNKS = 24
"""Of a long job: some seconds, so that something can happen in its middle."""


def write_rows(path: Path, house: House, model: str, count: int, *, people: bool = False) -> Path:
    """Write rows of a model as JSON lines, over and over; with people, one a row."""
    owned = house.owned[model]
    with path.open("w") as file:
        for number in range(count):
            row: dict[str, Any] = {owned.input: owned.rows[number % len(owned.rows)].tolist()}
            if people:
                row["sealgate_subject"] = f"MRN-CANARY-{number % 300}"
            file.write(json.dumps(row) + "\n")
    return path


def batch(house: House, *arguments: str | Path) -> Any:
    given = [str(argument) for argument in arguments]
    return house.sealgate("model", "batch", *given, client=CALLER)


def told(path: Path) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = {line.pop("sealgate_row"): line for line in lines}
    assert len(found) == len(lines), "a row is there twice"
    return found


def start(house: House, folder: Path, *, chunks: int = CHUNKS) -> str:
    """Start a long job about people; returns its id."""
    rows = write_rows(folder / "rows.jsonl", house, "biopsy", 256 * chunks, people=True)
    key = folder / "batch.key"
    job = batch(house, "run", "biopsy", rows, "--no-wait", "--identity", key)
    return str(job["id"])


def amid(house: House, job: str) -> dict[str, Any]:
    """Wait until some chunks were answered and others were not; a command is slow to look."""

    def looked() -> dict[str, Any] | None:
        found: dict[str, Any] = house.get(f"/v1/batches/{job}", CALLER)
        assert found["state"] in ("queued", "running"), found
        return found if found["done"]["chunks"] >= 2 else None

    found: dict[str, Any] = until(looked)
    assert found["done"]["chunks"] < found["chunks"], "the job was over before anything happened"
    return found


def released(house: House, job: str) -> list[dict[str, Any]]:
    """The recorded releases of a job: of the parts that its log names."""
    where = {"action": "releaseOutput", "outcome": "allow", "limit": 100}
    events, before = [], None
    while True:
        page = house.get(
            "/v1/audit/events", "clinic-officer", **where, **({"after": before} if before else {})
        )
        events += [entry["event"] for entry in page["items"]]
        before = page["next"]
        if before is None:
            return [event for event in events if event.get("reason") != "fetch_batch"]


def test_a_file_of_rows_is_answered_like_single_calls(house: House, tmp_path: Path) -> None:
    count = 40
    rows = write_rows(tmp_path / "rows.jsonl", house, "digits", count)
    out = tmp_path / "answers.jsonl"
    job = batch(house, "run", "digits", rows, "--out", out)
    assert (job["state"], job["rows"]) == ("finished", count)
    answers = told(out)
    assert sorted(answers) == list(range(count))
    assert job["refused"] == sum("sealgate_reason" in answer for answer in answers.values())
    for number in range(0, count, 7):
        single = house.infer(row=number)
        if single.status_code == 200:
            wanted = single.json()["outputs"][0]["data"]
            assert answers[number]["probabilities"] == pytest.approx(wanted, abs=1e-5)
        else:
            assert answers[number] == {"sealgate_reason": "output_refused"}
    assert not out.with_name("answers.jsonl.parts").exists()


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_other_formats_say_the_same(house: House, tmp_path: Path, form: str) -> None:
    x = house.owned["biopsy"].rows[:20]
    people = [f"MRN-{number}" for number in range(20)]
    rows, out = tmp_path / f"rows.{form}", tmp_path / f"answers.{form}"
    plain = tmp_path / "answers.jsonl"
    if form == "npz":
        np.savez(rows, features=x, sealgate_subject=np.array(people))
    else:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        columns = {f"f{at}": pa.array(x[:, at].astype(np.float64)) for at in range(x.shape[1])}
        pq.write_table(pa.table({**columns, "sealgate_subject": people}), rows)
    assert batch(house, "run", "biopsy", rows, "--out", out)["state"] == "finished"
    batch(house, "run", "biopsy", rows, "--out", plain)
    answers = told(plain)
    assert sorted(answers) == list(range(20))
    if form == "npz":
        with np.load(out, allow_pickle=False) as found:
            got = dict(zip(found["sealgate_row"].tolist(), found["probabilities"], strict=True))
    else:
        table = pq.read_table(out)
        got = {
            row: value
            for row, value in zip(
                table["sealgate_row"].to_pylist(), table["probabilities"].to_pylist(), strict=True
            )
            if value is not None
        }
    wanted = {row: one["probabilities"] for row, one in answers.items() if "probabilities" in one}
    assert got.keys() == wanted.keys()
    for row, value in wanted.items():
        assert np.ravel(got[row]) == pytest.approx(np.ravel(value), abs=1e-6)


def test_bad_rows_and_a_wrong_key_are_told_with_what_to_do(house: House, tmp_path: Path) -> None:
    rows, key = tmp_path / "rows.jsonl", tmp_path / "batch.key"
    rows.write_text('{"image": [1, 2]}\n')
    said = house.command(
        "model", "batch", "run", "digits", str(rows), "--out", str(tmp_path / "a.jsonl"),
        client=CALLER,
    )  # fmt: skip
    assert said.returncode != 0
    assert "rows.shape, row 0, input 0" in said.stderr
    assert "next: " in said.stderr
    write_rows(rows, house, "digits", 4)
    job = batch(house, "run", "digits", rows, "--no-wait", "--identity", key)
    until(lambda: batch(house, "show", job["id"])["state"] == "finished")
    other = tmp_path / "other.key"
    assert house.command("artifact", "keygen", "-o", str(other)).returncode == 0
    said = house.command(
        "model", "batch", "fetch", job["id"], "--identity", str(other),
        "--out", str(tmp_path / "b.jsonl"), client=CALLER,
    )  # fmt: skip
    assert "the results are not for this key" in said.stderr
    assert not (tmp_path / "b.jsonl").exists()
    # What was fetched then is used now.
    batch(house, "fetch", job["id"], "--identity", key, "--out", tmp_path / "b.jsonl")
    assert len(told(tmp_path / "b.jsonl")) == 4
    batch(house, "delete", job["id"], "--confirm", job["id"])
    assert job["id"] not in {one["id"] for one in batch(house, "list")}


def test_a_job_survives_a_kill_and_answers_every_row_once(fresh: MakeHouse, tmp_path: Path) -> None:
    house = fresh()
    job = start(house, tmp_path)
    amid(house, job)
    house.kill()
    house.start()
    out = tmp_path / "answers.jsonl"
    ended = batch(house, "fetch", job, "--identity", tmp_path / "batch.key", "--out", out)
    assert ended["state"] == "finished"
    assert sorted(told(out)) == list(range(256 * CHUNKS))
    ids = Counter(event["id"] for event in released(house, job))
    assert set(ids.values()) == {1}
    assert len(ids) == CHUNKS, "each chunk was released once"
    assert len(house.events(action="finishBatch")) == 1
    assert house.verify().returncode == 0
    trace = b"MRN-CANARY"
    seen = [p for p in files_of(house.place.folder) if trace in p.read_bytes()]
    assert seen == []


def test_a_cancelled_job_ends_and_gives_what_it_has(fresh: MakeHouse, tmp_path: Path) -> None:
    house = fresh()
    job = start(house, tmp_path)
    amid(house, job)
    house.cast.http.post(f"{house.url}/v1/batches/{job}/cancel", headers=house.bearer(CALLER))
    assert batch(house, "cancel", job)["state"] == "cancelled", "it may be said again"
    out = tmp_path / "answers.jsonl"
    said = house.command(
        "model", "batch", "fetch", job, "--identity", str(tmp_path / "batch.key"),
        "--out", str(out), client=CALLER,
    )  # fmt: skip
    assert "the job was cancelled" in said.stderr
    reasons = Counter(answer.get("sealgate_reason", "") for answer in told(out).values())
    assert reasons[""] >= 256
    assert reasons["not_asked"] >= 256


def test_who_is_shut_out_in_the_middle_gets_nothing_more(fresh: MakeHouse, tmp_path: Path) -> None:
    house = fresh()
    job = start(house, tmp_path)
    amid(house, job)
    with house.admin() as admin:
        admin.post(f"/v1/tenants/clinic/clients/{CALLER}/disable")
    (end,) = until(lambda: house.events(action="finishBatch"))
    assert (end["outcome"], end["reason"]) == ("error", "invalid_token")
    count = len(released(house, job))
    assert count < CHUNKS
    assert house.cast.http.get(f"{house.url}/v1/batches/{job}").status_code == 401
