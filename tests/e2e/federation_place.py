"""A convenor's gateway and its partner sites, each of them real processes on this machine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.transfer import upload
from gateway.demo.cast import Cast
from gateway.demo.datasets import Hospitals, hospitals
from gateway.demo.narrator import Narrator
from gateway.demo.place import prepare
from gateway.demo.running import Running
from tests.e2e.house import PATIENCE, House, at_free_ports, configure, sealgate_command, until

MODEL: Final = "tumour"
OWNER: Final = "clinic-owner"
OFFICER: Final = "clinic-officer"
APP: Final = "clinic-app"
STRANGER: Final = "lakeside"
"""A site that is registered and takes part elsewhere."""
PATIENT: Final = 60
"""Seconds that a round waits where every site is expected to answer."""
BRISK: Final = 6
"""The same where a site is killed; each lost answer costs a test so much time."""
FEDERATIONS: Final = {"valleys": PATIENT, "brisk": BRISK}
ELSEWHERE: Final = "elsewhere"
TRIES: Final = 4
STEPS: Final = (
    "runStarted",
    "roundStarted",
    "siteResult",
    "siteError",
    "roundAggregated",
    "runFinished",
    "runFailed",
)
Step = dict[str, Any]


@dataclass
class Partners:
    """A gateway, its federations and their sites."""

    house: House
    data: Hospitals
    sites: dict[str, Running] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The sites that train together."""
        return list(self.data.sites)

    @property
    def door(self) -> str:
        """Address of the site door."""
        return f"https://{self.house.place.sites_address}"

    def folder(self, site: str) -> Path:
        return self.house.place.folder / "sites" / site

    def visitor(self) -> httpx.Client:
        """A client of the site door."""
        trust = ssl.create_default_context(cafile=str(self.house.place.ca_file))
        return httpx.Client(base_url=self.door, verify=trust, timeout=PATIENCE)

    def convene(self) -> None:
        """Make the model, the federations and their allow-lists."""
        with self.house.client(OWNER) as owner:
            owner.post("/v1/models", {"name": MODEL, "personal": True, "data_class": "health"})
            rows = self.house.place.write_private("owner/held-out.npz", "")
            rows.write_bytes(self.data.calibration.npz())
            for name, deadline in {**FEDERATIONS, ELSEWHERE: BRISK}.items():
                owner.post(
                    "/v1/federations",
                    {
                        "name": name,
                        "model": MODEL,
                        "config": {"features": int(self.data.test.x.shape[1])},
                        "quorum": 2,
                        "deadline_s": deadline,
                        "calibration": upload(owner, MODEL, rows, quiet=True),
                    },
                )
            self._admit(owner)

    def _admit(self, owner: Connection) -> None:
        everybody = [*self.names, STRANGER]
        with ThreadPoolExecutor(2) as workers:
            keys = dict(zip(everybody, workers.map(self._make_site, everybody), strict=True))
        allowed = dict.fromkeys(FEDERATIONS, self.names) | {
            ELSEWHERE: [*self.names[:2], STRANGER],
        }
        for federation, sites in allowed.items():
            for site in sites:
                body = {"name": site, "public_key": keys[site]}
                _post_patiently(owner, f"/v1/federations/{federation}/sites", body)

    def _make_site(self, name: str) -> str:
        """Make a site's key by command, and its files; returns the public key."""
        folder = self.folder(name)
        folder.mkdir(mode=0o700, parents=True)
        rows = self.data.sites.get(name, self.data.test)
        (folder / "rows.npz").write_bytes(rows.npz())
        settings = {
            "name": name,
            "gateway": self.house.place.sites_address,
            "ca_file": str(self.house.place.ca_file),
            "key_file": "node.key",
            "data": "rows.npz",
            "state": "state",
        }
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        (folder / "site.toml").write_text("".join(lines))
        made = sealgate_command("site", "keygen", "--out", str(folder / "node.key"))
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def start_site(self, name: str) -> None:
        """Run a site by command."""
        log = self.folder(name) / "site.log"
        self.sites[name] = Running(
            ["site", "run", "--config", str(self.folder(name) / "site.toml")], log
        )

    def kill_site(self, name: str) -> None:
        """End a site at once; what it started goes with it."""
        self.sites.pop(name).kill()

    def stop_site(self, name: str) -> None:
        """Let a site end as its operator would."""
        self.sites.pop(name).stop()

    def stop_sites(self) -> None:
        """Ask all sites to end, then wait for them."""
        for site in self.sites.values():
            if site.alive:
                os.kill(site.pid, signal.SIGTERM)
        for site in self.sites.values():
            site.stop()

    def joined(self, after: int = -1) -> set[str]:
        """The sites that joined, since an entry of the log."""
        return {
            event["resource"].rpartition("/")[2]
            for event in self.house.events(action="joinFederation")
            if event["reason"] == "activate-node" and int(event["index"]) > after
        }

    def await_joined(self, names: list[str], after: int = -1) -> None:
        """Wait until sites have joined, of themselves."""
        until(lambda: set(names) <= self.joined(after))

    def size(self) -> int:
        """Index of the newest entry of the convenor's log."""
        return int(self.house.events(limit=1)[0]["index"])

    def start(self, federation: str, version: str, rounds: int = 3) -> str:
        """Start a run and return its id."""
        with self.house.client(OWNER) as owner:
            body = {"version": version, "rounds": rounds}
            return str(owner.post(f"/v1/federations/{federation}/rounds", body)["id"])

    def run(self, federation: str, run: str) -> dict[str, Any]:
        """A run as the convenor sees it."""
        return dict(self.house.get(f"/v1/federations/{federation}/rounds/{run}", OWNER))

    def ended(self, federation: str, run: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until a run has ended, and return it."""

        def end() -> dict[str, Any] | None:
            found = self.run(federation, run)
            return found if found["state"] in {"finished", "failed"} else None

        return dict(until(end, seconds))

    def steps(self, run: str) -> list[Step]:
        """What the audit log has of a run's own steps, in the order of the log."""
        found = (event for action in STEPS for event in self.house.events(action=action))
        own = [event for event in found if event.get("request_id") == run]
        return sorted(own, key=lambda event: int(event["index"]))

    def await_step(self, run: str, action: str, number: int) -> None:
        """Wait until the log has a step of a round."""

        def there() -> bool:
            return any(
                step.get("request_id") == run and step["fl"].get("round", 0) == number
                for step in self.house.events(action=action)
            )

        until(there)


def coordinator_pid(house: House) -> int:
    """Process id of the coordinator that the gateway supervises now."""
    children = Path(f"/proc/{house.pid}/task").glob("*/children")
    for children_of_thread in children:
        for child in children_of_thread.read_text().split():
            with contextlib.suppress(OSError):
                if b"federated.coordinator" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return 0


def house_of_convenor(folder: Path) -> House:
    """Found a gateway with federation; returns it stopped."""
    place = at_free_ports(prepare(folder))
    configure(place, federation="on")
    return House(place, Cast(place, Narrator(Console(file=io.StringIO()))), {})


@contextlib.contextmanager
def partners(folder: Path) -> Iterator[Partners]:
    """Found a gateway with federation, start four sites, and wait until all have joined."""
    with house_of_convenor(folder) as house:
        house.cast.assemble()
        found = Partners(house, hospitals())
        found.convene()
        try:
            for name in (*found.names, STRANGER):
                found.start_site(name)
            found.await_joined([*found.names, STRANGER])
            yield found
        finally:
            found.stop_sites()


def _post_patiently(owner: Connection, path: str, body: dict[str, Any]) -> None:
    """Try again where the answer says so: a SuperLink that is traced on a busy machine is slow."""
    for _ in range(TRIES - 1):
        try:
            owner.post(path, body)
            return
        except CommandFailed as failed:
            if failed.code is not ExitCode.TRY_AGAIN:
                raise
    owner.post(path, body)
