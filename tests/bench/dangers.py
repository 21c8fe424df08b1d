"""`python -m tests.bench.dangers`: hostile models under load of another tenant, in one run.

One tenant calls a quick model all the time; another calls models that trap the processor, never
end, compare every box with every other, or take memory without end, and one whose engine is sent a
signal. Told are the calls of the first tenant that failed (none may), its p99 beside the one it has
alone, whether each call of the second was answered in time and is in its log, and how much later
than its deadline a run was ended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.demo.cast import Cast
from gateway.demo.narrator import Narrator
from gateway.demo.place import Place, prepare
from gateway.demo.running import start_gateway
from policies.compiled import starter_text
from tests.gateway.artifacts.hostile_models import linear
from tests.gateway.engine import dangers

DEADLINE: Final = 2.0
SLACK: Final = 0.2
GOOD, HOSTILE = "quiet", "hostile"
LEAST_CALLS: Final = 300
PAUSE: Final = 0.3  # between two hostile calls: each is met by a hundred quiet ones


ONES: Final = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 1.0, 1.0]}
DANGERS: Final[dict[str, tuple[Any, dict[str, Any]]]] = {
    "least / -1 (SIGFPE)": (
        dangers.least_divided(),
        {"name": "x", "shape": [1], "datatype": "INT64", "data": [-2]},
    ),
    "200,000 boxes in one node": (dangers.quadratic_node(200_000), ONES),
    "endless Loop": (
        dangers.endless_when_positive(),
        ONES,
    ),
    "memory without end": (dangers.growing_when_positive(), ONES),
    "a segfault (signal)": (dangers.endless_when_positive(), ONES),
}


@dataclass
class Quiet:
    """The tenant that minds its own business.

    Attributes:
        seconds: Latency of each call.
        failed: Status or fault of each call that was not answered.
    """

    url: str
    token: str
    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Call without a pause while the block runs, and LEAST_CALLS times at least."""
        self.seconds, self.failed, ended = [], [], threading.Event()

        def call() -> None:
            with httpx.Client(timeout=30.0) as client:
                while not ended.is_set() or len(self.seconds) < LEAST_CALLS:
                    began = time.perf_counter()
                    answer = client.post(
                        f"{self.url}/v2/models/{GOOD}/infer",
                        json={"inputs": [ONES]},
                        headers={"authorization": f"Bearer {self.token}"},
                    )
                    self.seconds.append(time.perf_counter() - began)
                    if answer.status_code != 200:
                        self.failed.append(str(answer.status_code))
                    time.sleep(0.001)

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.dangers", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="calls of each dangerous model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ["SEALGATE_FEDERATION"] = "off"
    os.environ["SEALGATE_RUN_TIMEOUT_SECONDS"] = str(DEADLINE)
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder) / "place")
        with start_gateway(place) as gateway:
            figures = measure(place, Cast(place, Narrator(Console(stderr=True))), options.times)
            figures["gateway still runs"] = {"ok": Path(f"/proc/{gateway.pid}").exists()}
    print(json.dumps(figures)) if options.json else show(figures)
    return 0 if all(row["ok"] for row in figures.values()) else 1


def measure(place: Place, cast: Cast, times: int) -> dict[str, dict[str, Any]]:
    tokens = people(place)
    folder = place.folder / "models"
    folder.mkdir()
    publish(cast, "quiet-owner", folder, GOOD, dangers.plain(linear()))
    names = {kind: f"{HOSTILE}-{number}" for number, kind in enumerate(DANGERS)}
    for kind, (model, _) in DANGERS.items():
        publish(cast, "hostile-owner", folder, names[kind], dangers.plain(model))
    quiet = Quiet(place.url, tokens["quiet-app"])
    figures: dict[str, dict[str, Any]] = {}
    with quiet.calling():
        time.sleep(3)
    alone = quiet.p99
    for kind, (_, tensor_in) in DANGERS.items():
        with quiet.calling():
            calls = []
            for _ in range(times):
                calls.append(hostile_call(place, tokens["hostile-app"], names[kind], tensor_in))
                time.sleep(PAUSE)
        missing = [receipt for _, _, receipt in calls if not recorded(cast, receipt)]
        late = max(seconds for _, seconds, _ in calls) - DEADLINE
        figures[kind] = {
            "answers": sorted({code for code, _, _ in calls}),
            "late_s": round(max(late, 0.0), 3),
            "others_failed": len(quiet.failed),
            "others_calls": len(quiet.seconds),
            "p99_ms": round(quiet.p99 * 1000, 2),
            "alone_p99_ms": round(alone * 1000, 2),
            "unrecorded": len(missing),
            "ok": not quiet.failed and not missing and late <= SLACK and quiet.p99 <= 2 * alone,
        }
    return figures


def people(place: Place, tenants: tuple[str, ...] = ("quiet", "hostile")) -> dict[str, str]:
    """Register tenants with an owner and an application each; return tokens."""
    tokens: dict[str, str] = {}
    with Connection(load_profile(place.data / "admin.json")) as admin:
        for tenant in tenants:
            admin.post(
                "/v1/tenants",
                {"id": tenant, "region": "eu", "name": tenant, "purposes": ["care"]},
            )
            for role, roles, scopes in (
                ("owner", ["owner", "officer"], ["models", "artifacts", "policies", "audit"]),
                ("app", ["caller"], ["infer"]),
            ):
                facts = {"id": f"{tenant}-{role}", "tenant": tenant, "name": role}
                made = admin.post(
                    "/v1/clients",
                    {
                        **facts,
                        "roles": roles,
                        "scopes": scopes,
                        "purposes": ["care"],
                        "default_purpose": "care",
                        "auth_method": "client_secret_basic",
                        "token_binding": "none",
                    },
                )
                register(place, facts["id"], made["client_secret"])
                tokens[facts["id"]] = token(place, facts["id"])
    for tenant in tenants:
        with Connection(load_profile(profile(place, f"{tenant}-owner"))) as owner:
            rules = starter_text().split("@id(")
            kept = [rule for rule in rules if not rule.startswith('"screened-only"')]
            owner.put("/v1/policies", {"text": "@id(".join(kept)})
    return tokens


def token(place: Place, client: str) -> str:
    """Fetch a token of a client that was registered here; it is good for five minutes."""
    answer = httpx.post(
        f"{place.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(client, profile(place, client).with_suffix(".secret").read_text()),
    )
    return str(answer.raise_for_status().json()["access_token"])


def profile(place: Place, client: str) -> Path:
    return place.folder / "profiles" / f"{client}.json"


def register(place: Place, client: str, secret: str) -> None:
    place.write_private(f"profiles/{client}.secret", secret)
    told = {"url": place.url, "client_id": client, "secret_file": f"{client}.secret"}
    place.write_private(f"profiles/{client}.json", json.dumps(told))


def publish(cast: Cast, owner: str, folder: Path, name: str, model: bytes) -> None:
    path, key = folder / f"{name}.onnx", folder / f"{owner}.key"
    path.write_bytes(model)
    if not key.exists():
        cast.run(owner, "model", "keygen", "--out", str(key))
    cast.run(owner, "model", "create", name, "--no-personal")
    cast.run(owner, "model", "push", name, "1", str(path), "--key", str(key))
    cast.run(owner, "model", "promote", name, "1")


def hostile_call(
    place: Place, token: str, model: str, tensor_in: dict[str, Any]
) -> tuple[str, float, str]:
    """Call once; returns the problem's type (or the status), seconds, and the receipt."""
    ends = list(DANGERS).index("a segfault (signal)")
    if model.endswith(f"-{ends}"):
        threading.Timer(0.5, end_engines, (place,)).start()
    began = time.perf_counter()
    answer = httpx.post(
        f"{place.url}/v2/models/{model}/infer",
        json={"inputs": [tensor_in]},
        headers={"authorization": f"Bearer {token}"},
        timeout=60.0,
    )
    seconds = time.perf_counter() - began
    code = answer.json().get("type", "").rpartition("/")[2] or str(answer.status_code)
    return code, seconds, answer.headers.get("sealgate-audit", "")


def end_engines(place: Place) -> None:
    """Send SIGSEGV to the newest engine: that of the model that was called last."""
    engines = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_engine(entry)
    ]
    if engines:
        with contextlib.suppress(ProcessLookupError):
            os.kill(max(engines), signal.SIGSEGV)


def _is_engine(entry: Path) -> bool:
    """An engine is a child of a fork server, with two bells and nothing else open."""
    try:
        if b"fork_server" not in (entry / "cmdline").read_bytes():
            return False
        parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        return b"fork_server" in Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return False


def recorded(cast: Cast, receipt: str) -> bool:
    """Whether the tenant's log has the event that the receipt names."""
    origin, _, index = receipt.rpartition("/")
    if not origin:
        return False
    with Connection(load_profile(profile(cast.place, "hostile-owner"))) as officer:
        return bool(officer.get(f"/v1/audit/events/{index}")["receipt"] == receipt)


def show(figures: dict[str, dict[str, Any]]) -> None:
    table = Table(title=f"hostile models beside another tenant; deadline {DEADLINE:g} s")
    for column in ("", "answers", "late s", "others failed", "p99 / alone ms", "unrecorded", ""):
        table.add_column(column)
    for name, row in figures.items():
        cells = [", ".join(row.get("answers", ()))]
        cells += [str(row.get(key, "")) for key in ("late_s", "others_failed")]
        cells += [f"{row.get('p99_ms', '')} / {row.get('alone_p99_ms', '')}"]
        cells += [str(row.get("unrecorded", "")), "✓" if row["ok"] else "✗"]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
