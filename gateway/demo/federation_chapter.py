"""Chapter of the tour about federation: three hospitals train one model and keep their data."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any, Final

from gateway.cli.connection import Connection
from gateway.cli.transfer import upload
from gateway.demo.cast import CLINIC, Cast
from gateway.demo.datasets import Hospitals, hospitals
from gateway.demo.narrator import BrokenPromise, hold
from gateway.demo.running import Running
from gateway.demo.serving_chapter import request

MODEL: Final = "tumour"
VERSION: Final = "1"
FEDERATION: Final = "three-valleys"
ROUNDS: Final = 3
JOIN_SECONDS: Final = 90.0
RUN_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.2
OWNER: Final = "clinic-owner"


class FederationChapter:
    """Sets three sites up, trains, publishes, releases."""

    def __init__(self, cast: Cast, stack: contextlib.ExitStack) -> None:
        self._cast = cast
        self._say = cast.narrator
        self._stack = stack
        self.data: Hospitals = hospitals()
        self._sites = cast.place.folder / "sites"
        self._joined = 0

    @property
    def names(self) -> list[str]:
        """Names of the sites."""
        return list(self.data.sites)

    def train(self) -> None:
        """Take the way of three rounds."""
        self._say.chapter("Three hospitals train one model; their rows stay at home")
        with self._cast.connection(OWNER) as owner:
            with self._say.check("three sites joined with keys made at home, over TLS") as e:
                self._convene(owner)
                self._start_sites(owner)
                e.text = ", ".join(f"{n} {len(s.y)} rows" for n, s in self.data.sites.items())
            with self._say.check(
                f"{ROUNDS} rounds of federated averaging, each step recorded"
            ) as e:
                started = time.monotonic()
                self._run(owner)
                e.text = f"{time.monotonic() - started:.1f} s, publication included"
            with self._say.check("the result is a sealed, signed, screened candidate"):
                made = owner.get(f"/v1/models/{MODEL}/versions/{VERSION}")
                hold(made["state"] == "candidate", f"it is {made['state']}: {made['reason']}")
                hold(made["source"].startswith("federation/"), "it says nothing of the run")
        self._release()

    def _convene(self, owner: Connection) -> None:
        owner.post("/v1/models", {"name": MODEL, "personal": True, "data_class": "health"})
        rows = self._cast.place.write_private("owner/held-out.npz", "")
        rows.write_bytes(self.data.calibration.npz())
        owner.post(
            "/v1/federations",
            {
                "name": FEDERATION,
                "model": MODEL,
                "config": {"features": int(self.data.test.x.shape[1])},
                "quorum": 2,
                "deadline_s": 60,
                "calibration": upload(owner, MODEL, rows, quiet=True),
            },
        )

    def _start_sites(self, owner: Connection) -> None:
        for name in self.names:
            public = self._make_site(name)
            path = f"/v1/federations/{FEDERATION}/sites"
            owner.post(path, {"name": name, "public_key": public})
            config = self._sites / name / "site.toml"
            log = self._sites / name / "site.log"
            site = Running(["site", "run", "--config", str(config)], log)
            self._stack.enter_context(site)
        with self._cast.connection("clinic-officer") as officer:
            self._wait_until_joined(officer)

    def _make_site(self, name: str) -> str:
        folder = self._sites / name
        folder.mkdir(mode=0o700, parents=True)
        (folder / "rows.npz").write_bytes(self.data.sites[name].npz())
        settings = {
            "name": name,
            "gateway": self._cast.place.sites_address,
            "ca_file": str(self._cast.place.ca_file),
            "key_file": "node.key",
            "data": "rows.npz",
            "state": "state",
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (folder / "site.toml").write_text("\n".join(lines) + "\n")
        made = Running(["site", "keygen", "--out", str(folder / "node.key")], folder / "public.txt")
        hold(made.wait(60) == 0, "the site's key could not be made")
        return (folder / "public.txt").read_text().strip()

    def _wait_until_joined(self, officer: Connection) -> None:
        deadline = time.monotonic() + JOIN_SECONDS
        with self._say.stages(len(self.names), "sites join") as stages:
            seen: set[str] = set()
            while len(seen) < len(self.names):
                hold(time.monotonic() < deadline, "the sites did not join in time")
                for item in officer.items("/v1/audit/events", action="joinFederation"):
                    site = str(item["event"]["resource"])
                    if site not in seen:
                        seen.add(site)
                        stages.advance(f"joined: {site.rpartition('/')[2]}")
                time.sleep(POLL_SECONDS)

    def _run(self, owner: Connection) -> None:
        path = f"/v1/federations/{FEDERATION}/rounds"
        run = owner.post(path, {"version": VERSION, "rounds": ROUNDS})
        deadline = time.monotonic() + RUN_SECONDS
        after = 0
        with self._say.stages(ROUNDS, "rounds") as stages:
            while True:
                page = owner.get(f"{path}/{run['id']}/events", after=str(after))
                for step in page["items"]:
                    after = step["seq"]
                    if step["type"] == "round_aggregated" and step["round"]:
                        stages.advance(_told(step))
                    elif step["type"] == "site_error":
                        self._say.say(f"{step['site']}: {step['code']}")
                state = page["run"]["state"]
                if state == "finished":
                    return
                if state == "failed":
                    raise BrokenPromise(f"the run failed: {page['run']['reason']}")
                hold(time.monotonic() < deadline, "the run took too long")
                time.sleep(POLL_SECONDS)

    def _release(self) -> None:
        row = self.data.test.x[:1]
        body = request("features", row, subject="patient-7", purpose="research")
        token = self._cast.token(OWNER)
        with self._say.check("it answers its owner as a candidate, at its version path"):
            answer = self._cast.infer(token, MODEL, body, VERSION)
            hold(answer.status_code == 200, f"status {answer.status_code}")
        with self._say.check("after a recorded promotion it answers by name"):
            self._cast.run(OWNER, "model", "promote", MODEL, VERSION)
            caller = self._cast.token("clinic-app")
            named = request("features", row, subject="patient-7")
            answer = self._cast.infer(caller, MODEL, named)
            hold(answer.status_code == 200, f"status {answer.status_code}")
        with self._say.check("as it concerns people, it does not answer without a data subject"):
            answer = self._cast.infer(caller, MODEL, request("features", row))
            hold(answer.status_code == 422, f"status {answer.status_code}")

    @property
    def tenant(self) -> str:
        """The convening tenant."""
        return CLINIC

    def site_logs(self) -> list[Path]:
        """Where the sites write."""
        return [self._sites / name / "site.log" for name in self.names]


def _told(step: dict[str, Any]) -> str:
    accuracy = step["metrics"].get("accuracy")
    shown = f", accuracy {accuracy:.3f} at the sites" if accuracy is not None else ""
    return f"round {step['round']}: {step['n_examples']} rows{shown}"
