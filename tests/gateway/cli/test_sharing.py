"""Sharing a model end to end, by the commands of both tenants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from tests.gateway.cli.command import Said, sealgate
from tests.gateway.place import Place
from tests.gateway.screening.classifiers import CENTRES, classifier, clouds, npz

pytestmark = pytest.mark.e2e

OWNER, OTHER, THIRD = "lender", "borrower", "onlooker"
SHARED = f"{OWNER}~clouds"


@dataclass(frozen=True)
class Two:
    """The people of both tenants, and of a third one."""

    place: Place
    folder: Path

    def run(self, tenant: str, role: str, *words: str | Path) -> Said:
        return sealgate(*words, "--profile", self.place.profile(tenant, role))

    def owner(self, *words: str | Path) -> Said:
        return self.run(OWNER, "owner", *words)

    def other(self, *words: str | Path) -> Said:
        return self.run(OTHER, "owner", *words)

    def share(self, *terms: str) -> dict[str, Any]:
        offered = self.owner(
            "model", "share", "clouds", "--with", OTHER, "--confirm", "clouds", *terms, "--json"
        )
        assert offered.code == 0, offered.err
        taken = self.other("model", "accept-share", SHARED, "--json")
        assert taken.code == 0, taken.err
        found: dict[str, Any] = taken.json
        return found

    def call(self, model: str = SHARED, tenant: str = OTHER) -> Said:
        return self.run(tenant, "caller", "call", model, self.folder / "rows.json", "--json")

    def get(self, path: str, tenant: str = OTHER, role: str = "owner", method: str = "GET") -> Any:
        """Send the path as it is written; returns status and body without its request id."""
        with connect(self.place.profile(tenant, role)) as connection:
            try:
                answer = connection.send(method, path)
            except CommandFailed as refused:
                told = {
                    k: v for k, v in refused.problem.items() if k not in ("instance", "request_id")
                }
                return refused.code, told
            return 0, answer.content


@pytest.fixture(scope="module")
def two(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Two:
    folder = tmp_path_factory.mktemp("sharing")
    for tenant in (OWNER, OTHER, THIRD):
        place.tenant(tenant)
    made = Two(place, folder)
    (folder / "model.onnx").write_bytes(classifier())
    (folder / "rows.json").write_text(json.dumps({"in": CENTRES[:1].tolist()}))
    x, y = clouds(400, seed=1)
    (folder / "cal.npz").write_bytes(npz(x=x, y=y))
    key = sealgate("model", "keygen", "--out", folder / "owner.key")
    (folder / "owner.pub").write_text(key.out)
    assert made.owner("model", "create", "clouds", "--no-personal").code == 0
    pushed = made.owner(
        *("model", "push", "clouds", "1", folder / "model.onnx", "--key", folder / "owner.key"),
        *("--calibration", folder / "cal.npz"),
    )
    assert pushed.code == 0, pushed.err
    assert made.owner("model", "promote", "clouds", "1").code == 0
    return made


def test_issue_8_4_sharing_end_to_end_by_the_commands_of_both(two: Two) -> None:
    assert two.call().code == ExitCode.NOT_FOUND
    offered = two.owner("model", "share", "clouds", "--with", OTHER, "--confirm", "clouds")
    assert f"next, in {OTHER}: sealgate model accept-share {SHARED}" in offered.err
    assert two.call().code == ExitCode.NOT_FOUND
    (waits,) = two.other("model", "shared", "--json").json
    assert (waits["name"], waits["state"], waits["infer"]) == (SHARED, "offered", True)
    taken = two.other("model", "accept-share", SHARED)
    assert f"next: sealgate call {SHARED}" in taken.err
    answer = two.call()
    assert answer.code == 0, answer.err
    assert answer.json["model_name"] == SHARED
    assert two.call(f"{OWNER}/clouds").json["model_name"] == SHARED, "people may write a slash"
    listed = two.other("model", "list", "--json").json
    assert [one["name"] for one in listed] == [SHARED]
    shown = two.other("model", "show", SHARED, "--json").json
    assert [one["version"] for one in shown["versions"]] == ["1"]
    assert shown["versions"][0]["created_by"] == "", "nobody of the owner is named"
    assert not shown["versions"][0]["facts"]
    explained = two.run(OTHER, "caller", "policy", "explain", "infer", SHARED, "1", "--json").json
    assert explained["allowed"]
    assert not [one for one in explained["policy_ids"] if one.startswith(OWNER)]
    gone = two.owner("model", "unshare", "clouds", "--with", OTHER, "--confirm", "clouds")
    assert gone.code == 0
    assert two.call().code == ExitCode.NOT_FOUND
    assert two.other("model", "list", "--json").json == []


def test_both_logs_tell_of_consent_use_and_end(two: Two) -> None:
    made = two.share("--purpose", "care")
    request = two.call().json["request_id"]
    assert two.other("model", "decline", SHARED, "--confirm", SHARED).code == 0
    seen = {}
    for tenant in (OWNER, OTHER):
        found = two.run(tenant, "officer", "audit", "search", "--json").json
        seen[tenant] = [entry["event"] for entry in found]
    for tenant in (OWNER, OTHER):
        reasons = [event.get("reason") for event in seen[tenant] if event.get("recipient") == OTHER]
        assert {"accept_sharing", "end_sharing"} <= set(reasons)
        (use,) = [one for one in seen[tenant] if one.get("request_id") == request]
        assert use["purpose"] == "care"
    assert "offer_sharing" not in {one.get("reason") for one in seen[OTHER]}
    assert f"{OTHER}-" not in json.dumps(seen[OWNER])
    assert f"{OWNER}-owner" not in json.dumps(seen[OTHER])
    why = two.run(OWNER, "officer", "why", request, "--json").json
    assert why["records"][0]["event"]["actor_ref"] == OTHER
    assert made["offer"]


def test_a_third_tenant_and_one_without_consent_see_what_is_absent(two: Two) -> None:
    two.share("--download")
    digest = two.other("model", "show", SHARED, "1", "--json").json["payloads"][0]["digest"]
    rests = ("", "/ready", "/config", "/stats", "/versions/1", "/versions/1/ready")
    paths = [f"/v2/models/{{m}}{rest}" for rest in rests]
    paths += [f"/v1/models/{{m}}{rest}" for rest in ("", "/versions", "/release", "/sharing")]
    paths += [f"/v1/models/{{m}}/versions/1{rest}" for rest in ("", "/manifest", "/signatures")]
    for path in paths:
        absent = two.get(path.format(m=f"{OWNER}~absent"), THIRD)
        assert two.get(path.format(m=SHARED), THIRD) == absent
        assert absent[0] == ExitCode.NOT_FOUND, path
        assert two.get(path.format(m=f"nobody~{'x' * 9}"), THIRD) == absent
    for method in ("GET", "PUT", "DELETE"):
        path = "/v1/shared/{}/{}"
        absent = two.get(path.format(OWNER, "absent"), THIRD, method=method)
        assert two.get(path.format(OWNER, "clouds"), THIRD, method=method) == absent
    payload = f"/v1/models/{{m}}/versions/1/payloads/{digest}"
    assert two.get(payload.format(m=SHARED), THIRD) == two.get(payload.format(m="a~b"), THIRD)
    listed = two.run(THIRD, "owner", "model", "shared", "--json").json
    assert listed == []


@pytest.mark.parametrize(
    "written",
    [
        f"{OWNER}/clouds",
        f"{OWNER}%2Fclouds",
        f"{OWNER}%252Fclouds",
        f"{OWNER}%257Eclouds",
        f"{OWNER}~CLOUDS",
        f"{OWNER.title()}~clouds",
        f"{OWNER}~clouds%00",
        f"{OWNER}~clouds%20",
        f"{OWNER}~.%2Fclouds",
        f"..%2F{OWNER}~clouds",
        f"{OTHER}~{OWNER}~clouds",
        f"{OWNER}%EF%BD%9Eclouds",
        f"{OWNER}%CB%9Cclouds",
    ],
)
def test_a_name_written_in_another_way_reaches_nothing(two: Two, written: str) -> None:
    two.share()
    code, _ = two.get(f"/v2/models/{written}", role="caller")
    assert code == ExitCode.NOT_FOUND
    assert two.get(f"/v2/models/{OWNER}%7Eclouds", role="caller")[0] == 0, "RFC 3986: the same"


def test_what_is_shared_for_calls_is_not_handed_out_and_the_other_way(
    two: Two, tmp_path: Path
) -> None:
    key = pyrage.x25519.Identity.generate()

    def download(name: str) -> Said:
        to = ("--recipient", str(key.to_public()), "--out", tmp_path / name, "--unverified")
        return two.other("model", "download", SHARED, "1", *to)

    two.share()
    assert two.call().code == 0
    assert download("a.age").code == ExitCode.NOT_FOUND
    two.share("--download", "--no-infer")
    assert two.call().code == ExitCode.NOT_FOUND
    got = download("b.age")
    assert got.code == 0, got.err
    assert pyrage.decrypt((tmp_path / "b.age").read_bytes(), [key]) == classifier()
    found = two.run(OWNER, "officer", "audit", "search", "--action", "downloadArtifact", "--json")
    mine = [entry["event"] for entry in found.json if entry["event"].get("actor_ref") == OTHER]
    assert {event["recipient"] for event in mine} == {str(key.to_public())}
    assert len(mine) >= 2, "the header and the bytes"
    assert not any(event.get("client_id") for event in mine)


def test_a_download_is_verified_with_the_kit_of_the_owner(two: Two, tmp_path: Path) -> None:
    two.share("--download")
    kit, trust, key = tmp_path / "lender.kit", tmp_path / "trust", tmp_path / "site.key"
    made = two.owner(
        "partner", "kit", "clouds", "--out", kit, "--owner-key", two.folder / "owner.pub", "--json"
    )
    assert made.code == 0, made.err
    assert sealgate("artifact", "keygen", "-o", key).code == 0
    hash_ = made.json["sha256"]
    assert sealgate("partner", "accept", kit, "--sha256", hash_, "--trust", trust).code == 0
    plain = tmp_path / "clouds.onnx"
    got = two.other(
        *("model", "download", SHARED, "1", "-i", key, "--out", tmp_path / "clouds.age"),
        *("--decrypt-to", plain, "--trust", trust, "--json"),
    )
    assert got.code == 0, got.err
    assert (got.json["tenant"], got.json["verified"]) == (OWNER, True)
    assert plain.read_bytes() == classifier()


def test_nothing_of_anothers_model_is_changed_by_whom_it_is_shared_with(two: Two) -> None:
    two.share("--download")
    for words in (
        ("promote", SHARED, "1"),
        ("rollback", SHARED),
        ("retire", SHARED, "1", "--confirm", "1"),
        ("history", SHARED),
        ("shared", SHARED),
        ("unshare", SHARED, "--with", THIRD, "--confirm", SHARED),
        ("share", SHARED, "--with", THIRD, "--confirm", SHARED),
    ):
        said = two.other("model", *words)
        assert said.code == ExitCode.NOT_FOUND, words
    assert two.owner("model", "show", "clouds", "1", "--json").json["state"] == "released"


def test_terms_that_make_no_sense_are_refused_with_a_remedy(two: Two) -> None:
    share = ("model", "share", "clouds", "--confirm", "clouds", "--with")
    for words, told in (
        ((OWNER,), "another tenant"),
        ((OTHER, "--no-infer"), "`infer`, `download`"),
        ((OTHER, "--version", "9"), "lacks: `9`"),
        ((OTHER, "--until", "2020-01-01"), "in the future"),
        ((OTHER, "--until", "tomorrow"), "2026-12-31"),
    ):
        said = two.owner(*share, *words)
        assert said.code == ExitCode.USAGE, words
        assert told in said.err
    assert two.other("model", "accept-share", "clouds").code == ExitCode.USAGE
    assert two.other("model", "accept-share", f"{OWNER}~absent").code == ExitCode.NOT_FOUND


def test_an_offer_that_changed_meanwhile_is_not_accepted_unseen(two: Two) -> None:
    seen = two.share()["offer"]
    two.owner("model", "share", "clouds", "--with", OTHER, "--download", "--confirm", "clouds")
    said = two.other("model", "accept-share", SHARED, "--offer", seen)
    assert "other terms now" in said.err
    assert two.call().code == ExitCode.NOT_FOUND
