"""A whole federation on loopback: coordinator, test relay, sites, each a real process."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from federated.site.keys import generate
from tests.federated.relay import make_certificates

TENANT = "north"
PATIENCE_S = 240.0
"""Ends a hung test; whatever is waited for takes a small part of it beside other work."""


def breast_cancer_parts() -> dict[str, tuple[Any, Any]]:
    """Three unlike hospitals: by size of the tumour, so that each has another share of ones."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    order = np.argsort(data.data[:, 0], kind="stable")
    middle = np.sort(order[150:420:2]), np.sort(order[151:420:2])
    small, large = order[:150], order[420:]
    parts = {
        "site-a": np.concatenate([small, middle[0][:60]]),
        "site-b": np.concatenate([middle[0][60:], middle[1][:100]]),
        "site-c": np.concatenate([large, middle[1][100:]]),
    }
    labels = data.target.astype(float)
    return {name: (data.data[rows], labels[rows]) for name, rows in parts.items()}


@dataclass
class Stack:
    """A running federation."""

    folder: Path
    scratch: Path
    api: httpx.Client
    routes: Path
    gateway: str
    ca: Path
    parts: dict[str, tuple[Any, Any]]
    coordinator: subprocess.Popen[bytes]
    nodes: dict[str, str] = field(default_factory=dict)
    sites: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    fleet_url: str = ""

    def start_site(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir()
        line = generate(folder / "node.key")
        x, y = self.parts[name]
        np.savez(folder / "rows.npz", x=x, y=y)
        config = folder / "site.toml"
        config.write_text(
            f'name = "{name}"\ngateway = "{self.gateway}"\nca_file = "{self.ca}"\n'
            'key_file = "node.key"\ndata = "rows.npz"\nstate = "state"\n'
        )
        answer = self.api.post(f"/tenants/{TENANT}/nodes", json={"public_key": line})
        self.nodes[name] = answer.raise_for_status().json()["node_id"]
        routes = json.loads(self.routes.read_text())
        self.routes.write_text(json.dumps({**routes, line: self.fleet_url}))
        self.sites[name] = launch(
            folder,
            self.scratch,
            "-c",
            "from federated.cli import site; site()",
            "run",
            "--config",
            str(config),
        )

    def wait_online(self) -> None:
        wanted = set(self.nodes.values())
        until(lambda: wanted <= self._online(), "sites online")

    def _online(self) -> set[str]:
        nodes = self.api.get(f"/tenants/{TENANT}/nodes").raise_for_status().json()["nodes"]
        return {node["node_id"] for node in nodes if node["online"]}

    def start_run(self, run_id: str, sites: list[str], **changes: Any) -> None:
        plan = {
            "tenant": TENANT,
            "federation": "trial",
            "run_id": run_id,
            "sites": [{"name": name, "node_id": self.nodes[name]} for name in sites],
            "rounds": 3,
            "quorum": len(sites),
            "deadline_s": 30,
            "task": "logistic-regression",
            "config": {"features": 30},
        }
        self.api.post("/runs", json={**plan, **changes}).raise_for_status()

    def follow(
        self, run_id: str, on_event: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> tuple[list[dict[str, Any]], str]:
        """All events of a run until it has ended, and its last state."""
        events: list[dict[str, Any]] = []
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            answer = self.api.get(
                f"/runs/{run_id}/events", params={"after": len(events), "wait": 10}
            ).json()
            for event in answer["events"]:
                on_event(event)
            events += answer["events"]
            if answer["state"] in {"finished", "failed"}:
                return events, answer["state"]
        raise AssertionError(f"run did not end: {events}")


def launch(
    folder: Path, scratch: Path, *arguments: str, sockets: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            pass_fds=sockets,
            # What a killed process leaves of its sockets goes with this folder.
            env={**os.environ, "TMPDIR": str(scratch)},
        )


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited too long for: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Start coordinator, relay and three sites; end exactly those processes."""
    secret = secrets.token_hex(32)
    secret_file = folder / "secret"
    secret_file.touch(0o600)
    secret_file.write_text(secret)
    # A Unix socket's path must be short, and pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="sgt-") as short, contextlib.ExitStack() as cleanup:
        scratch = Path(short)
        sock = scratch / "c.sock"
        coordinator = launch(
            folder,
            scratch,
            *("-m", "federated.coordinator", "--socket", str(sock)),
            *("--secret-file", str(secret_file), "--state", str(folder / "state")),
        )
        cleanup.callback(end, coordinator)
        until(sock.exists, "coordinator socket")
        api = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(sock)),
            base_url="http://coordinator",
            headers={"authorization": f"Bearer {secret}"},
            timeout=PATIENCE_S,
        )
        cleanup.callback(api.close)
        routes = folder / "routes.json"
        routes.write_text("{}")
        ca, certificate, key = make_certificates(folder)
        door = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        gateway = f"127.0.0.1:{door.getsockname()[1]}"
        relay = Path(__file__).with_name("relay.py")
        arguments = [str(part) for part in (relay, door.fileno(), certificate, key, routes)]
        cleanup.callback(end, launch(folder, scratch, *arguments, sockets=(door.fileno(),)))
        parts = breast_cancer_parts()
        stack = Stack(folder, scratch, api, routes, gateway, ca, parts, coordinator)
        until(lambda: _answers(api), "coordinator API")
        link = api.put(f"/tenants/{TENANT}/superlink").raise_for_status()
        stack.fleet_url = link.json()["fleet_url"]
        for name in parts:
            stack.start_site(name)

        def end_sites() -> None:
            for process in stack.sites.values():
                end(process)

        cleanup.callback(end_sites)
        stack.wait_online()
        yield stack


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask one of our own processes to end, then make it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def descendants(pid: int) -> set[int]:
    """Process ids of all living descendants of `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if stat[0] != "Z":
                    parents[int(entry.name)] = int(stat[1])
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {pid}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
