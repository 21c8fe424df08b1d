"""A gateway as its operator runs it: a process of its own on a folder of its own.

Founding one takes seconds, so it is done once (`found_house`); a test that kills or corrupts gets
its own by `moved`, a copy of the stopped folder at addresses of its own, as after a restore.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from audit.note import LogSigner
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.unlock import KeyFile
from gateway.cli.connection import Connection
from gateway.cli.main import invoke
from gateway.cli.profile import load_profile
from gateway.demo.cast import Cast
from gateway.demo.narrator import Narrator
from gateway.demo.place import ORIGIN, Place, prepare
from gateway.demo.running import Running
from tests.e2e.models import Owned
from tests.ports import free_port

REPOSITORY: Final = Path(__file__).parents[2]
PATIENCE: Final = 240.0
"""Seconds: ends a hung test; whatever is waited for takes a small part of it beside other work."""
TENANTS: Final = ("bank", "clinic", "platform")
Event = dict[str, Any]


@dataclass
class House:
    """A gateway, those who use it, and what its owner pushed."""

    place: Place
    cast: Cast
    owned: dict[str, Owned]
    running: Running | None = None
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.cast.http.close()

    @property
    def url(self) -> str:
        return self.place.url

    @property
    def log_path(self) -> Path:
        return self.place.folder / "gateway.log"

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    def start(self) -> None:
        self.running = started(self.place)

    def launch(self, under: Sequence[str] = ()) -> None:
        """Start the process, and do not wait until it is ready."""
        self.running = launched(self.place, under)

    def await_ready(self) -> None:
        assert self.running is not None
        await_ready(self.place, self.running)

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running = None

    def admin(self) -> Connection:
        return Connection(load_profile(self.place.data / "admin.json"))

    def client(self, name: str) -> Connection:
        return self.cast.connection(name)

    def token(self, client: str = "clinic-app") -> str:
        """A token that is good for two minutes more at least."""
        text, until = self._tokens.get(client, ("", 0.0))
        if time.monotonic() > until:
            text, until = self.cast.token(client), time.monotonic() + 120
            self._tokens[client] = text, until
        return text

    def bearer(self, client: str = "clinic-app") -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(client)}"}

    def forget_tokens(self) -> None:
        """Ask for others next time: those of before a suspension stay refused."""
        self._tokens.clear()

    def get(self, path: str, client: str, **query: Any) -> Any:
        """The JSON of a resource, as a client sees it."""
        answer = self.cast.http.get(self.url + path, headers=self.bearer(client), params=query)
        return answer.raise_for_status().json()

    def infer(self, model: str = "digits", client: str = "clinic-app", **how: Any) -> Any:
        """Ask a model about its first row; `how` is for `Owned.body`."""
        if self.owned[model].personal:
            how.setdefault("subject", "patient-0")
        return self.cast.infer(self.token(client), model, self.owned[model].body(**how))

    def sealgate(self, *arguments: str, client: str = "clinic-owner") -> Any:
        """Run a `sealgate` command in this process and return its JSON."""
        out = io.StringIO()
        profile = str(self.cast.profile(client))
        with contextlib.redirect_stdout(out):
            code = invoke([*arguments, "--profile", profile, "--json"])
        assert code == 0, (arguments, code)
        return json.loads(out.getvalue())

    def command(
        self, *arguments: str, client: str = "clinic-owner"
    ) -> subprocess.CompletedProcess[str]:
        """Run a `sealgate` command as a process, as a person would."""
        return sealgate_command(
            *arguments,
            SEALGATE_PROFILE=str(self.cast.profile(client)),
            SEALGATE_TRUST=str(self.trust),
        )

    @property
    def trust(self) -> Path:
        """What a partner of the clinic trusts."""
        return self.place.folder / "partner" / "trust"

    def meet_partner(self, model: str) -> None:
        """Make a kit for a model, and accept it with the hash that is heard."""
        kit = self.trust.parent / f"{model}.kit"
        if kit.exists():
            return
        kit.parent.mkdir(mode=0o700, exist_ok=True)
        named = ("--owner-key", str(self.owner_key()), "--trust", str(self.trust))
        made = self.sealgate("partner", "kit", model, *named, "--out", str(kit))
        more = ("--replace",) if self.trust.exists() else ()
        done = self.command("partner", "accept", str(kit), "--sha256", made["sha256"], *more)
        assert done.returncode == 0, done.stderr

    def events(self, *, client: str = "clinic-officer", **where: Any) -> list[Event]:
        """Events that fit, the newest first, as the compliance officer reads them."""
        page = self.get("/v1/audit/events", client, **{"limit": 200, **where})
        return [{"index": entry["index"], **entry["event"]} for entry in page["items"]]

    def event(self, receipt: str) -> Event:
        """The event that a receipt (`Sealgate-Audit`) names."""
        origin, _, index = receipt.rpartition("/")
        assert origin == f"{ORIGIN}/clinic"
        entry = self.get(f"/v1/audit/events/{index}", "clinic-officer")
        assert entry["receipt"] == receipt
        return dict(entry["event"])

    def log_keys(self) -> list[str]:
        """The key of every tenant's log, as the operator hands them out."""
        keys = keystore(self)
        origins = [f"{ORIGIN}/{tenant}" for tenant in TENANTS]
        return [LogSigner(o, keys.signing_key(f"log/{o}")).verifier_key for o in origins]

    def verify(self) -> subprocess.CompletedProcess[str]:
        """Verify every log of the data folder with the command, as the operator would."""
        keys = [part for key in self.log_keys() for part in ("--key", key)]
        return self.command("audit", "verify", str(self.place.data), *keys, "--json")

    def export(self, path: Path) -> Path:
        """Fetch the clinic's log as its officer."""
        headers = self.bearer("clinic-officer")
        answer = self.cast.http.get(f"{self.url}/v1/audit/export", headers=headers)
        path.write_bytes(answer.raise_for_status().content)
        return path

    def push(self, model: Owned, version: str = "1.0") -> None:
        """Push a version from files that are gone afterwards."""
        folder = self.place.folder / "owner"
        folder.mkdir(mode=0o700, exist_ok=True)
        graph, rows = folder / f"{model.name}.onnx", folder / f"{model.name}.npz"
        graph.write_bytes(model.onnx)
        rows.write_bytes(model.calibration)
        try:
            self.sealgate(
                *("model", "push", model.name, version, str(graph)),
                *("--key", str(self.owner_key()), "--calibration", str(rows)),
            )
        finally:
            graph.unlink()
            rows.unlink()

    def owner_key(self) -> Path:
        path = self.place.folder / "owner" / "owner.key"
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.redirect_stdout(io.StringIO()):
                assert invoke(["model", "keygen", "--out", str(path), "--json"]) == 0
        return path

    def release(self, model: Owned) -> None:
        """Create, push and promote."""
        personal = "--personal" if model.personal else "--no-personal"
        self.sealgate("model", "create", model.name, personal)
        self.push(model)
        self.sealgate("model", "promote", model.name, "1.0")


def sealgate_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a `sealgate` command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )


def keystore(house: House) -> LocalKeyStore:
    """The house's keys, as who owns its folder can open them."""
    folder = house.place.data / "keystore"
    return LocalKeyStore.open(folder, KeyFile(folder / "unlock.key"))


def started(place: Place) -> Running:
    """Start the gateway of a place and wait until it is ready; fail if it ends."""
    running = launched(place)
    try:
        await_ready(place, running)
    except BaseException:
        running.kill()
        raise
    return running


def launched(place: Place, under: Sequence[str] = ()) -> Running:
    """Start the gateway of a place, by way of a program that becomes it."""
    command = ["serve", "--data", str(place.data)]
    return Running(command, place.folder / "gateway.log", under=under)


def await_ready(place: Place, running: Running) -> None:
    """Wait until the gateway of a place is ready; fail if it ends."""

    def ready() -> bool:
        assert running.alive, (place.folder / "gateway.log").read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{place.operations_url}/health/ready").is_success
        return False

    until(ready)


def configure(place: Place, **settings: Any) -> None:
    """Change settings in the place's `sealgate.toml`."""
    path = place.data / "sealgate.toml"
    values = {**tomllib.loads(path.read_text()), **settings}
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))


def found_house(folder: Path, owned: dict[str, Owned]) -> House:
    """Found a gateway, cast its tenants, release every model; returns it stopped."""
    place = at_free_ports(prepare(folder))
    configure(place, federation="off")
    cast = Cast(place, Narrator(Console(file=io.StringIO())))
    with House(place, cast, owned) as house:
        cast.assemble()
        for model in owned.values():
            house.release(model)
    return house


def moved(house: House, folder: Path, **settings: Any) -> House:
    """Copy a stopped house to another folder and other addresses; returns it stopped."""
    assert house.running is None
    shutil.copytree(house.place.folder, folder, copy_function=shutil.copy2)
    (folder / "gateway.log").unlink()
    place = at_free_ports(replace(house.place, folder=folder))
    configure(place, **settings)
    narrator = Narrator(Console(file=io.StringIO()))
    return House(place, Cast(place, narrator, dict(house.cast.secrets)), house.owned)


def at_free_ports(place: Place) -> Place:
    """Give a place four ports that nobody else has got."""
    port, grpc_port, operations_port, sites_port = (free_port() for _ in range(4))
    place = replace(
        place,
        port=port,
        grpc_port=grpc_port,
        operations_port=operations_port,
        sites_port=sites_port,
    )
    configure(
        place,
        public_url=place.url,
        port=port,
        grpc_port=grpc_port,
        operations_port=operations_port,
        sites_port=sites_port,
    )
    for profile in (*place.folder.glob("profiles/*.json"), place.data / "admin.json"):
        profile.write_text(json.dumps({**json.loads(profile.read_text()), "url": place.url}))
    return place


def until(found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Ask until the answer is true, and return it; fail at the deadline."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


def problem(answer: httpx.Response) -> str:
    """The type of a problem, by its last word; fails on anything that is no problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    return str(body["type"]).removeprefix("https://sealgate.dev/problems/")


def told(house: House, since: int = 0) -> list[dict[str, Any]]:
    """What the gateway wrote to its log after `since` bytes: JSON lines only, or the test fails."""
    lines = house.log_path.read_text()[since:].splitlines()
    stains = [line for line in lines if not line.startswith("{")]
    assert not stains, stains
    return [json.loads(line) for line in lines]
