"""Real processes on loopback: coordinator, SuperLink, relay with TLS, three SuperNodes."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from tests.federated.central import Central, compute
from tests.federated.stack import TENANT, Stack, alive, descendants, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.federated]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("federation")) as stack:
        yield stack


def centrally(stack: Stack, sites: list[str]) -> Central:
    files = {name: stack.folder / name / "rows.npz" for name in sites}
    return compute(stack.folder, files)


def probabilities(model: bytes, features: Any) -> Any:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"features": features.astype(np.float32)})[0]


def test_three_rounds_over_three_sites(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    sites = list(stack.parts)
    before = time.time()
    begun = time.monotonic()
    stack.start_run("first", sites)
    events, state = stack.follow("first")
    took = time.monotonic() - begun
    with capsys.disabled():
        print(f"\nthree rounds over three SuperNodes: {took:.2f} s")
    assert state == "finished"
    model = stack.api.get("/runs/first/result").raise_for_status()
    assert model.headers["x-sealgate-run"] == "first"

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "run_started"
    assert events[-1]["type"] == "run_finished"
    for number in range(4):
        of_round = [event for event in events if event.get("round") == number]
        assert [event["type"] for event in of_round] == [
            "round_started",
            *["site_result"] * 3,
            "round_aggregated",
        ]
        assert {event["site"] for event in of_round[1:4]} == set(sites)
        assert of_round[4]["n_examples"] == 569

    central = centrally(stack, sites)
    aggregated = [e for e in events if e["type"] == "round_aggregated"]
    expected = [e for e in central.events if e.type == "round_aggregated"]
    assert [e["digest"] for e in aggregated] == [e.digest for e in expected]
    assert [e.get("metrics", {}) for e in aggregated] == [e.metrics for e in expected]
    x = np.concatenate([features for features, _ in stack.parts.values()])
    y = np.concatenate([labels for _, labels in stack.parts.values()])
    given = probabilities(model.content, x)
    logits = (x - central.mean) / central.scale @ central.parameters[:-1] + central.parameters[-1]
    np.testing.assert_allclose(given[:, 1], 1 / (1 + np.exp(-logits)), atol=1e-4)
    assert ((given[:, 1] > 0.5) == (y > 0.5)).mean() > 0.95

    places = [stack.folder, Path(tempfile.gettempdir()), Path("/dev/shm"), Path.cwd()]
    assert files_with(needles(central.vectors), places, since=before) == []
    planted = stack.folder / "planted"
    planted.write_bytes(b"x" * 1000 + central.parameters.astype("<f4").tobytes())
    assert files_with(needles(central.vectors), places, since=before) == [planted]
    planted.unlink()

    assert stack.api.get("/runs/first/result").status_code == 410


def needles(vectors: Any) -> list[bytes]:
    """Pieces of the vectors that a file with any of them would hold, in both precisions."""
    return [
        vector[start : start + 4].astype(kind).tobytes()
        for vector in vectors
        for start in (0, vector.size - 5)
        for kind in ("<f8", "<f4")
        if np.any(vector[start : start + 4])
    ]


def files_with(pieces: list[bytes], places: list[Path], since: float) -> list[Path]:
    """Files changed after `since` that hold one of `pieces`."""
    found = set()
    for place in places:
        for folder, inner, names in os.walk(place):
            inner[:] = [name for name in inner if name not in {".git", ".venv"}]
            for path in (Path(folder) / name for name in names):
                try:
                    if not path.is_file() or path.lstat().st_mtime < since - 1:
                        continue
                    content = path.read_bytes()
                except OSError:
                    continue
                if any(piece in content for piece in pieces):
                    found.add(path)
    return sorted(found)


def test_site_off_the_list_takes_no_part(stack: Stack) -> None:
    sites = ["site-a", "site-c"]
    stack.start_run("two", sites)
    events, state = stack.follow("two")
    assert state == "finished"
    assert {event["site"] for event in events if "site" in event} == set(sites)
    expected = [e for e in centrally(stack, sites).events if e.type == "round_aggregated"]
    last = [event for event in events if event["type"] == "round_aggregated"][-1]
    assert last["digest"] == expected[-1].digest


def test_site_with_other_features_is_an_error_and_the_run_fails(stack: Stack) -> None:
    stack.start_run("wide", list(stack.parts), config={"features": 31}, quorum=1)
    events, state = stack.follow("wide")
    assert state == "failed"
    assert [e["code"] for e in events if e["type"] == "site_error"] == ["wrong_shape"] * 3
    assert events[-1]["type"] == "run_failed"
    assert events[-1]["code"] == "quorum_lost"
    assert stack.api.get("/runs/wide/result").status_code == 410


@pytest.mark.parametrize("call", ["list-nodes", "start-run", "stop-run", "register-node"])
@pytest.mark.parametrize("token", [None, "Bearer x", "Basic " + "0" * 64])
def test_control_is_closed(stack: Stack, call: str, token: str | None) -> None:
    headers = {"content-type": "application/protobuf"}
    if token is not None:
        headers["authorization"] = token
    answer = httpx.post(f"{stack.fleet_url}/v1/control/{call}", content=b"", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("call", ["acquire-task", "pull-task-input", "get-nodes", "push-messages"])
def test_runtime_is_closed(stack: Stack, call: str) -> None:
    headers = {"content-type": "application/protobuf"}
    answer = httpx.post(f"{stack.fleet_url}/v1/runtime/{call}", content=b"", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("call", ["pull-messages", "activate-node", "register-node"])
def test_fleet_needs_a_node_signature(stack: Stack, call: str) -> None:
    headers = {"content-type": "application/protobuf"}
    answer = httpx.post(f"{stack.fleet_url}/v1/fleet/{call}", content=b"", headers=headers)
    assert answer.status_code == 401


def test_nothing_is_left_open_to_the_outside(stack: Stack) -> None:
    """Every listening socket of the federation's processes is bound to loopback."""
    family = {stack.coordinator.pid, *(site.pid for site in stack.sites.values())}
    family |= {child for pid in list(family) for child in descendants(pid)}
    sockets = {
        os.readlink(link)
        for pid in family
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink() and os.path.lexists(link) and "socket:" in _link(link)
    }
    addresses = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                addresses.append(fields[1].split(":")[0])
    assert addresses
    assert set(addresses) == {"0100007F"}


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_secrets_are_in_no_argument_and_no_environment(stack: Stack) -> None:
    secret = stack.api.headers["authorization"].removeprefix("Bearer ").encode()
    for pid in descendants(stack.coordinator.pid) | {stack.coordinator.pid}:
        seen = Path(f"/proc/{pid}/cmdline").read_bytes()
        if pid != stack.coordinator.pid:
            seen += Path(f"/proc/{pid}/environ").read_bytes()
        assert secret not in seen
        assert b"secret=" not in seen.lower()


def test_lost_superlink_fails_the_run_and_comes_back(stack: Stack) -> None:
    health = stack.api.get("/health").json()["tenants"][TENANT]["superlink"]
    stack.start_run("lost", list(stack.parts), rounds=500)

    def kill(event: dict[str, Any]) -> None:
        if event["type"] == "round_aggregated" and event["round"] == 1:
            os.kill(health["pid"], signal.SIGKILL)

    events, state = stack.follow("lost", kill)
    assert state == "failed"
    assert events[-1]["code"] in {"superlink_lost", "server_app_failed"}
    stack.wait_online()
    assert stack.api.get("/health").json()["tenants"][TENANT]["superlink"]["restarts"] == 1
    stack.start_run("again", list(stack.parts))
    assert stack.follow("again")[1] == "finished"


def test_killed_site_is_an_error_and_the_quorum_goes_on(stack: Stack) -> None:
    victim = stack.sites["site-c"]
    family = descendants(victim.pid)
    assert len(family) >= 3

    def kill(event: dict[str, Any]) -> None:
        if event["type"] == "round_aggregated" and event["round"] == 1:
            victim.kill()

    stack.start_run("killed", list(stack.parts), rounds=5, quorum=2, deadline_s=5)
    events, state = stack.follow("killed", kill)
    victim.wait()
    until(lambda: not any(alive(pid) for pid in family), "children of the killed site")
    assert state == "finished"
    errors = [event for event in events if event["type"] == "site_error"]
    assert {event["site"] for event in errors} == {"site-c"}
    assert len(errors) == 2
    aggregated = [event["n_examples"] for event in events if event["type"] == "round_aggregated"]
    assert aggregated[:2] == [569, 569]
    assert aggregated[-1] == 385


def test_removed_node_is_turned_away(stack: Stack) -> None:
    node = stack.nodes["site-b"]
    assert stack.api.delete(f"/tenants/{TENANT}/nodes/{node}").status_code == 204
    nodes = stack.api.get(f"/tenants/{TENANT}/nodes").json()["nodes"]
    assert node not in {entry["node_id"] for entry in nodes}
    plan_with_it = {"sites": ["site-a", "site-b"]}
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        stack.start_run("removed", **plan_with_it)


def test_children_end_with_the_coordinator(stack: Stack) -> None:
    family = descendants(stack.coordinator.pid)
    assert len(family) >= 3
    stack.coordinator.kill()
    stack.coordinator.wait()
    until(lambda: not any(alive(pid) for pid in family), "children of the coordinator")
