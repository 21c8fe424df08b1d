"""Three hospitals train one model through the real gateway; then something goes wrong.

One gateway and four sites serve all tests here, in the order of the file: the later ones kill.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.artifacts.release import load_release
from gateway.artifacts.signature import verify_owner_statement
from gateway.demo.serving_chapter import request
from tests.e2e.federation_canary import Scanner, needles, now
from tests.e2e.federation_node import Node, node_key, signed
from tests.e2e.federation_place import (
    APP,
    ELSEWHERE,
    MODEL,
    OWNER,
    STRANGER,
    Partners,
    Step,
    coordinator_pid,
    partners,
)
from tests.e2e.house import PATIENCE, keystore, until
from tests.federated.stack import alive, descendants

pytest.importorskip("flwr")
pytestmark = [pytest.mark.e2e, pytest.mark.federated]

ROUNDS = 3
VERSION = "1"
LONG = 60
"""Rounds of a run that is not meant to reach its end."""


@dataclass(frozen=True)
class Trained:
    """The first run: nothing went wrong in it."""

    run: str
    end: dict[str, Any]
    steps: list[Step]
    began: float
    seconds: float


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partners]:
    # What killed sites leave of their sockets goes with this folder; its path must be short.
    with tempfile.TemporaryDirectory(prefix="sgt-") as scratch, pytest.MonkeyPatch.context() as env:
        env.setenv("TMPDIR", scratch)
        with partners(tmp_path_factory.mktemp("federation") / "place") as found:
            yield found


@pytest.fixture(scope="module")
def trained(place: Partners) -> Trained:
    began, started = now(), time.monotonic()
    run = place.start("valleys", VERSION, ROUNDS)
    end = place.ended("valleys", run)
    return Trained(run, end, place.steps(run), began, time.monotonic() - started)


@pytest.fixture(scope="module")
def graph(place: Partners, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The published graph, as a recipient of it opens it; no copy is left."""
    folder = tmp_path_factory.mktemp("recipient")
    key, sealed, plain = (folder / name for name in ("key", "sealed.age", "plain.onnx"))
    made = place.house.command("artifact", "keygen", "-o", str(key))
    target = ["--recipient", made.stdout.strip(), "--out", str(sealed)]
    kit, trust = folder / "clinic.kit", ("--trust", str(place.house.trust))
    made = place.house.sealgate("partner", "kit", MODEL, "--out", str(kit), *trust)
    accepted = place.house.command("partner", "accept", str(kit), "--sha256", made["sha256"])
    assert accepted.returncode == 0, accepted.stderr
    got = place.house.command("model", "download", MODEL, VERSION, *target)
    assert got.returncode == 0, got.stderr
    opened = place.house.command(
        "artifact", "decrypt", str(sealed), "-i", str(key), "-o", str(plain)
    )
    assert opened.returncode == 0, opened.stderr
    content = plain.read_bytes()
    plain.unlink()
    return content


def actions(steps: list[Step], number: int | None = None) -> Counter[str]:
    """How often each action was recorded, of a round or in all."""
    return Counter(
        step["action"] for step in steps if number is None or step["fl"].get("round", 0) == number
    )


def involved(steps: list[Step]) -> set[str]:
    return {step["fl"]["site"] for step in steps if step["fl"].get("site")}


def errors(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step["fl"]["site"], step["reason"]) for step in steps if step["action"] == "siteError"]


def ask(place: Partners, client: str, version: str | None = None) -> httpx.Response:
    purpose = {} if client == APP else {"purpose": "research"}
    body = request("features", place.data.test.x[:1], subject="patient-7", **purpose)
    return place.house.cast.infer(place.house.token(client), MODEL, body, version)


# Three rounds and their result


def test_three_rounds_end_as_a_candidate(
    place: Partners, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nthree rounds over three sites, published: {trained.seconds:.2f} s")
    assert (trained.end["state"], trained.end["reason"]) == ("finished", "")
    version = place.house.get(f"/v1/models/{MODEL}/versions/{VERSION}", OWNER)
    assert version["state"] == "candidate"
    assert version["source"] == f"federation/{trained.run}"
    assert version["facts"]["screened"] == "yes"


def test_every_step_is_in_the_log_exactly_once(place: Partners, trained: Trained) -> None:
    steps, sites = trained.steps, set(place.names)
    assert (steps[0]["action"], steps[-1]["action"]) == ("runStarted", "runFinished")
    each = {"roundStarted": 1, "siteResult": len(sites), "roundAggregated": 1}
    for number in range(1, ROUNDS + 1):
        of_round = [step for step in steps if step["fl"].get("round") == number]
        assert actions(of_round) == each
        assert involved(of_round) == sites
        rows = {s["fl"]["site"]: s["fl"]["n_examples"] for s in of_round if s["fl"].get("site")}
        assert rows == {name: len(split.y) for name, split in place.data.sites.items()}
        assert of_round[-1]["fl"]["n_examples"] == sum(rows.values())
    # Round 0 is the agreement on the standardisation.
    agreement = Counter(each) + Counter(runStarted=1, runFinished=1)
    assert actions(steps, 0) == agreement
    assert actions(steps) == agreement + Counter({k: v * ROUNDS for k, v in each.items()})
    digests = [s["fl"]["digest"] for s in steps if s["action"] in {"siteResult", "roundAggregated"}]
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
    assert len(set(digests)) == len(digests)
    assert {step["outcome"] for step in steps} == {"done"}


def test_start_and_publication_are_recorded_as_intent_and_result(
    place: Partners, trained: Trained
) -> None:
    begun = [e for e in place.house.events(action="startRound", model=MODEL) if e.get("phase")]
    assert Counter((e["phase"], e["outcome"]) for e in begun) == {
        ("intent", "allow"): 1,
        ("result", "done"): 1,
    }
    found = place.house.events(action="uploadArtifact", model=MODEL)
    result, intent = (e for e in found if e.get("request_id") == trained.run)
    assert (intent["phase"], intent["outcome"]) == ("intent", "allow")
    assert (result["phase"], result["outcome"]) == ("result", "done")
    assert result["intent_id"] == intent["id"]
    assert result["model_version"] == VERSION


def test_a_site_off_the_list_takes_no_part(place: Partners, trained: Trained) -> None:
    assert STRANGER in place.joined()
    assert all(STRANGER not in json.dumps(step) for step in trained.steps)


def test_signatures_verify(place: Partners, trained: Trained, graph: bytes) -> None:
    path = f"{place.house.url}/v1/models/{MODEL}/versions/{VERSION}"
    fetch = place.house.cast.http.get
    manifest = fetch(f"{path}/manifest", headers=place.house.bearer(OWNER)).content
    signatures = place.house.get(f"/v1/models/{MODEL}/versions/{VERSION}/signatures", OWNER)
    public = keystore(place.house).release_key("clinic").public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    release = load_release(manifest, json.dumps(signatures).encode(), pem, now=time.time())
    digest = hashlib.sha256(graph).hexdigest()
    (entry,) = release.manifest.payloads
    assert release.entry_for(entry.digest, digest).role == "graph"
    assert release.link.profile == release.manifest.profile
    assert release.link.profile
    assert any(trained.run in line for line in release.manifest.lineage)
    bundle = base64.b64decode(signatures["owner_bundle"])
    assert release.link.owner == hashlib.sha256(bundle).hexdigest()
    verify_owner_statement(
        json.loads(bundle), signatures["owner_key"].encode(), {"model.onnx": digest}
    )


def test_weights_are_in_no_file(place: Partners, trained: Trained, graph: bytes) -> None:
    arrays = [
        onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(graph).graph.initializer
    ]
    coefficients = max(arrays, key=np.size)
    wanted = [
        piece for values in (coefficients.ravel(), *coefficients.T) for piece in needles(values)
    ]
    places = [place.house.place.folder, Path(tempfile.gettempdir()), Path("/dev/shm")]
    scanner = Scanner(wanted, places, since=trained.began)
    assert scanner.look() == set()
    assert scanner.read > 10
    planted = place.folder(place.names[0]) / "state" / "planted"
    planted.write_bytes(graph)
    assert scanner.look() == {str(planted)}
    planted.unlink()


def test_candidate_answers_its_owner_by_version_and_everybody_once_promoted(
    place: Partners, trained: Trained
) -> None:
    assert ask(place, OWNER, VERSION).status_code == 200
    assert ask(place, OWNER).status_code == 404
    hidden, absent = ask(place, APP, VERSION), ask(place, APP, "no-such-version")
    assert hidden.status_code == absent.status_code == 404
    assert ask(place, APP).status_code == 404
    place.house.sealgate("model", "promote", MODEL, VERSION)
    answer = ask(place, APP)
    assert answer.status_code == 200
    promoted = place.house.events(action="promote", model=MODEL)
    assert ("result", "done") in {(e["phase"], e["outcome"]) for e in promoted}
    assert place.house.event(answer.headers["sealgate-audit"])["model_version"] == VERSION


# The door of the sites


@pytest.mark.parametrize("call", ["activate-node", "pull-messages", "push-messages", "get-fab"])
def test_fleet_needs_a_registered_key_and_its_signature(place: Partners, call: str) -> None:
    strange = ec.generate_private_key(ec.SECP384R1())
    known = node_key(place.folder(place.names[0]) / "node.key")
    with place.visitor() as visitor:
        for headers in ({}, signed(strange), signed(known, signer=strange)):
            answer = visitor.post(f"/v1/fleet/{call}", headers=headers)
            assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/list-nodes",
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/v1/runtime/push-messages",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/models",
        "/v2",
        "/health",
        "/docs",
        "/",
    ],
)
def test_nothing_else_is_behind_the_site_door(place: Partners, path: str) -> None:
    known = node_key(place.folder(place.names[0]) / "node.key")
    with place.visitor() as visitor:
        for headers in ({}, signed(known)):
            assert visitor.post(path, headers=headers).status_code == 404
            assert visitor.get(path, headers=headers).status_code == 404


def test_the_fleet_is_not_behind_the_public_door(place: Partners) -> None:
    known = node_key(place.folder(place.names[0]) / "node.key")
    url = f"{place.house.url}/v1/fleet/pull-messages"
    assert (
        httpx.post(url, headers=signed(known)).status_code == 401
    )  # unauthenticated callers learn of no path


def test_the_site_door_speaks_tls_only(place: Partners) -> None:
    plain = place.door.replace("https", "http")
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{plain}/v1/fleet/pull-messages")
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.post(f"{place.door}/v1/fleet/pull-messages")  # without the authority of the kit


# Something goes wrong


def test_a_revoked_site_gets_no_task_and_the_others_go_on(place: Partners) -> None:
    place.stop_site(STRANGER)
    key = node_key(place.folder(STRANGER) / "node.key")
    with (
        Node(place.house.place.sites_address, place.house.place.ca_file, key) as node,
        place.house.client(OWNER) as owner,
        ThreadPoolExecutor(1) as waiting,
    ):
        pull = waiting.submit(node.pull)
        run = place.start(ELSEWHERE, "revoked", rounds=1)
        assert len(pull.result(PATIENCE)) == 1  # so a task is handed out to who plays the site
        held = waiting.submit(node.pull)
        owner.post(f"/v1/federations/{ELSEWHERE}/sites/{STRANGER}/revoke")
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            held.result(PATIENCE)
        for _ in range(3):
            with pytest.raises(httpx.HTTPStatusError, match="401"):
                node.pull()
        assert place.ended(ELSEWHERE, run)["state"] == "finished"
        following = place.start(ELSEWHERE, "after", rounds=1)
        assert place.ended(ELSEWHERE, following)["state"] == "finished"
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            node.pull()
    steps = place.steps(run)
    assert {site for site, _ in errors(steps)} == {STRANGER}
    assert STRANGER not in {s["fl"]["site"] for s in steps if s["action"] == "siteResult"}
    steps = place.steps(following)
    assert involved(steps) == set(place.names[:2])
    assert errors(steps) == []


def test_a_killed_gateway_ends_its_run_at_the_next_start(place: Partners) -> None:
    """The coordinator dies with its gateway, and the run with it: that is what is recorded."""
    run = place.start("valleys", "cut", LONG)
    place.await_step(run, "roundAggregated", 1)
    family = descendants(place.house.pid)
    assert coordinator_pid(place.house) in family
    place.house.kill()
    until(lambda: not any(alive(pid) for pid in family))
    place.house.start()
    restarted = place.size()
    end = place.ended("valleys", run)
    assert (end["state"], end["reason"]) == ("failed", "coordinator_lost")
    check_lost(place, run)
    assert place.house.get(f"/v1/models/{MODEL}/versions", OWNER)["items"]
    assert "cut" not in {
        v["version"] for v in place.house.get(f"/v1/models/{MODEL}/versions", OWNER)["items"]
    }
    assert ask(place, APP).status_code == 200
    place.await_joined(place.names, after=restarted)


def test_a_killed_coordinator_fails_its_run_and_the_next_one_works(place: Partners) -> None:
    run = place.start("valleys", "lost", LONG)
    place.await_step(run, "roundAggregated", 1)
    before, killed = place.size(), coordinator_pid(place.house)
    family = descendants(killed)
    os.kill(killed, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in family))
    end = place.ended("valleys", run)
    assert (end["state"], end["reason"]) == ("failed", "coordinator_lost")
    check_lost(place, run)
    assert ask(place, APP).status_code == 200
    place.await_joined(place.names, after=before)
    assert coordinator_pid(place.house) not in {0, killed}
    following = place.start("valleys", "next", rounds=1)
    assert place.ended("valleys", following)["state"] == "finished"
    assert involved(place.steps(following)) == set(place.names)
    assert errors(place.steps(following)) == []


def check_lost(place: Partners, run: str) -> None:
    """The log of a run that was cut off: no step twice, and why it ended at its end."""
    steps = place.steps(run)
    told = Counter((s["action"], s["fl"].get("round", 0), s["fl"].get("site", "")) for s in steps)
    assert set(told.values()) == {1}
    assert len({step["id"] for step in steps}) == len(steps)
    assert (steps[0]["action"], steps[-1]["action"]) == ("runStarted", "runFailed")
    assert (steps[-1]["outcome"], steps[-1]["reason"]) == ("error", "coordinator_lost")


def test_a_killed_site_is_recorded_and_the_quorum_goes_on(place: Partners) -> None:
    victim, run = place.names[2], place.start("brisk", "killed", rounds=2)
    place.await_step(run, "roundAggregated", 0)
    place.kill_site(victim)
    end = place.ended("brisk", run)
    assert end["state"] == "finished"
    steps = place.steps(run)
    assert {site for site, _ in errors(steps)} == {victim}
    last = [step for step in steps if step["fl"].get("round") == 2]
    assert actions(last) == {
        "roundStarted": 1,
        "siteResult": 2,
        "siteError": 1,
        "roundAggregated": 1,
    }
    assert place.house.get(f"/v1/models/{MODEL}/versions/killed", OWNER)["state"] == "candidate"


def test_the_log_still_verifies(place: Partners) -> None:
    assert place.house.verify().returncode == 0
