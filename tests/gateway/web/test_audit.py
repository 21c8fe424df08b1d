from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from audit.verify import verify_export
from gateway.cli.failures import CommandFailed, ExitCode
from tests.gateway.place import Place


@pytest.fixture(scope="module")
def house(place: Place) -> str:
    tenant = place.tenant("auditors")
    for role in ("officer", "owner"):
        place.profile(tenant, role)
    return tenant


def test_a_search_finds_and_leaves_its_own_event(place: Place, house: str) -> None:
    with place.client(house, "officer") as officer:
        officer.get("/v1/audit/events", action="administer")
        found = officer.get("/v1/audit/events", action="reviewAudit", limit=1)["items"]
        entry = officer.get(f"/v1/audit/events/{found[0]['index']}")
    assert found[0]["event"]["client_id"] == "auditors-officer"
    assert entry["receipt"] == f"test/auditors/{found[0]['index']}"


def test_pages_follow_each_other_in_both_directions(place: Place, house: str) -> None:
    with place.client(house, "officer") as officer:
        for _ in range(4):
            officer.get("/v1/audit/events")
        up = officer.get("/v1/audit/events", order="oldest", limit=3)
        more = officer.get("/v1/audit/events", order="oldest", limit=3, after=up["next"])
        down = officer.get("/v1/audit/events", limit=2)
        less = officer.get("/v1/audit/events", limit=2, after=down["next"])
    assert [item["index"] for item in up["items"] + more["items"]] == [0, 1, 2, 3, 4, 5]
    newest = [item["index"] for item in down["items"] + less["items"]]
    assert newest == sorted(newest, reverse=True)
    assert len(set(newest)) == 4


def test_following_the_log_is_one_event_however_long_one_looks(place: Place, house: str) -> None:
    """The log grew by each look, and showed that."""
    with place.client(house, "officer") as officer:
        start = officer.get("/v1/audit/events", limit=1)["items"][0]["index"]
        seen: list[dict[str, Any]] = []
        path = "/v1/audit/follow"
        with officer.stream("GET", path, params={"after": start}, timeout=60) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                seen.append(json.loads(line.removeprefix("data: ")))
                if len(seen) == 3:
                    break
                time.sleep(2.5)  # two looks at least
                with place.client(house, "owner") as owner:
                    owner.get("/v1/models")
                    with pytest.raises(CommandFailed):
                        owner.get("/v1/audit/events")
        events = officer.get("/v1/audit/events", limit=50)["items"]
    reasons = [one["event"].get("reason") for one in events if one["index"] > start]
    assert reasons.count("follow") == 1
    indices = [one["index"] for one in seen]
    assert indices == sorted(set(indices))
    assert indices[0] > start


def test_who_may_not_read_the_log_may_not_follow_it(place: Place, house: str) -> None:
    with place.client(house, "owner") as owner, pytest.raises(CommandFailed) as refused:
        owner.get("/v1/audit/follow")
    assert refused.value.code == ExitCode.DENIED


@pytest.mark.parametrize("path", ["/v1/audit/events", "/v1/audit/follow"])
def test_a_bad_cursor_is_refused_and_is_no_beginning(place: Place, house: str, path: str) -> None:
    with place.client(house, "officer") as officer, pytest.raises(CommandFailed) as refused:
        officer.get(path, after="-3x")
    assert "`after`" in refused.value.what


def test_an_export_proves_itself_with_the_key(place: Place, house: str, tmp_path: Path) -> None:
    out = tmp_path / "audit.zip"
    with place.client(house, "officer") as officer:
        answer = officer.send("GET", "/v1/audit/export")
        key = officer.get("/v1/audit/key")["key"]
    out.write_bytes(answer.content)
    report = verify_export(out, key)
    assert report.status == "VERIFIED"
    assert str(report.trees[0].size) == answer.headers["sealgate-log-size"]
    assert verify_export(out).status == "UNPINNED"


def test_checkpoint_tiles_and_proof_fit_together(place: Place, house: str) -> None:
    with place.client(house, "officer") as officer:
        note = officer.send("GET", "/v1/audit/checkpoint").text
        size = int(note.splitlines()[1])
        again = officer.send("GET", "/v1/audit/checkpoint", params={"origin": "test/auditors"}).text
        tile = officer.send("GET", f"/v1/audit/tile/0/000.p/{size}").content
        proof = officer.send("GET", "/v1/audit/proof/0").text
    assert note.splitlines()[0] == "test/auditors"
    assert again == note, "reading hashes does not make the log grow"
    assert len(tile) == 32 * size
    assert proof.startswith("c2sp.org/tlog-proof@v1\nindex 0\n")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/audit/checkpoint?origin=test/platform",
        "/v1/audit/tile/0/001",
        "/v1/audit/tile/0/1",
        "/v1/audit/tile/../../etc/passwd",
        "/v1/audit/proof/999999",
        "/v1/audit/events/999999",
    ],
)
def test_what_is_not_in_the_own_log_is_absent(place: Place, house: str, path: str) -> None:
    with place.client(house, "officer") as officer, pytest.raises(CommandFailed) as refused:
        officer.send("GET", path)
    assert refused.value.code == ExitCode.NOT_FOUND


def test_only_officers_read_and_each_refusal_is_recorded(place: Place, house: str) -> None:
    with place.client(house, "owner") as owner:
        for path in ("/v1/audit/events", "/v1/audit/checkpoint", "/v1/audit/export"):
            with pytest.raises(CommandFailed) as refused:
                owner.send("GET", path)
            assert refused.value.code == ExitCode.DENIED
    with place.client(house, "officer") as officer:
        denied = officer.get("/v1/audit/events", outcome="deny", limit=3)["items"]
    assert {item["event"]["client_id"] for item in denied} == {"auditors-owner"}
    assert {item["event"]["action"] for item in denied} == {"reviewAudit", "exportAudit"}
