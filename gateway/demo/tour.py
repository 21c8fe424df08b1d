"""The tour: one working place, one chapter after the other, a ✓ or ✗ for each promise."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.demo.artifact_chapter import ArtifactChapter
from gateway.demo.cast import BANK, CLIENTS, CLINIC, Cast
from gateway.demo.contract import Demo, DemoModel, DemoSite, DemoTenant, DemoUser, Input
from gateway.demo.evidence_chapter import EvidenceChapter
from gateway.demo.federation_chapter import MODEL as TUMOUR
from gateway.demo.federation_chapter import VERSION as TUMOUR_VERSION
from gateway.demo.federation_chapter import FederationChapter
from gateway.demo.hints import hints, program_of
from gateway.demo.narrator import BrokenPromise, Narrator, Told
from gateway.demo.place import MARK, ORIGIN, Place, prepare
from gateway.demo.running import Running, start_gateway
from gateway.demo.serving_chapter import MODEL as DIGITS
from gateway.demo.serving_chapter import TABULAR, ServingChapter
from gateway.demo.serving_chapter import VERSION as DIGITS_VERSION


def take(folder: Path, console: Console, *, once: bool, told: Told | None = None) -> int:
    """Build the place, take the tour, and stay up unless `once`.

    Args:
        folder: Where the place is built.
        console: Where the tour is told.
        once: End after the tour.
        told: Hears of each promise, too.

    Returns:
        0 when every promise was kept, else 1.

    Raises:
        ConfigurationError: The folder cannot be used.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    narrator = Narrator(console, told)
    narrator.chapter("A working place is built")
    place = prepare(folder)
    cast = Cast(place, narrator)
    with contextlib.ExitStack() as stack:
        try:
            gateway = _chapters(cast, stack)
        except BrokenPromise as broken:
            narrator.broke("the tour goes on to its end", str(broken))
            gateway = None
        _sum_up(narrator)
        if gateway is not None and not once:
            _stay(cast, gateway)
    return 1 if narrator.broken else 0


def _chapters(cast: Cast, stack: contextlib.ExitStack) -> Running:
    say, place = cast.narrator, cast.place
    with say.check("keys, databases and the first administrator are made") as e:
        e.text = str(place.data)
    gateway = stack.enter_context(start_gateway(place))
    with say.check("the gateway runs: OAuth and APIs, a TLS door for sites, a door for operators"):
        cast.assemble()
    with say.check("a second gateway on the same folder is refused"):
        _refuse_second(place)
    serving = ServingChapter(cast)
    serving.publish()
    serving.call()
    serving.attack()
    serving.revoke()
    ArtifactChapter(cast, serving.model).deliver()
    federation = FederationChapter(cast, stack)
    federation.train()
    evidence = EvidenceChapter(cast, federation.data.test.x[1:2], serving.data.test.x[:1])
    evidence.erase()
    gateway = stack.enter_context(evidence.survive(gateway))
    evidence.verify()
    patient = federation.data.test.x[:1]
    models = (
        describe(TABULAR, DIGITS_VERSION, "features", serving.patients.test.x[:1]),
        describe(DIGITS, DIGITS_VERSION, "image", serving.data.test.x[:1]),
        describe(TUMOUR, TUMOUR_VERSION, "features", patient, personal=True),
    )
    write_contract(cast, models, federation.names)
    return gateway


def _refuse_second(place: Place) -> None:
    second = Running(["serve", "--data", str(place.data)], place.folder / "second.log")
    if second.wait(30) == 0:
        raise BrokenPromise("it started")


def describe(
    name: str, version: str, tensor: str, rows: NDArray[np.float32], *, personal: bool = False
) -> DemoModel:
    """Describe a model with one input, whose first row is the example."""
    example = tuple(float(value) for value in rows[0].ravel())
    shape = (-1, *rows.shape[1:])
    given = Input(name=tensor, datatype="FP32", shape=shape, example=example)
    return DemoModel(name=name, version=version, inputs=(given,), personal=personal)


def write_contract(cast: Cast, models: tuple[DemoModel, ...], sites: list[str]) -> Path:
    """Write `demo.json`, readable by its owner only."""
    place = cast.place
    demo = Demo(
        base_url=place.url,
        issuer=place.url,
        ca_file=str(place.ca_file),
        log_keys=_log_keys(cast),
        tenants=tuple(
            DemoTenant(
                name=tenant,
                client_id=client,
                client_secret=cast.secrets[client],
                token_binding="none",  # noqa: S106 - a kind of binding, no secret
                models=found,
            )
            for tenant, client, found in ((CLINIC, "clinic-app", models), (BANK, "bank-app", ()))
        ),
        users=(
            _user("admin", "platform", place.data / "admin.json"),
            _user("clinic-owner", CLINIC, cast.profile("clinic-owner")),
            _user("clinic-officer", CLINIC, cast.profile("clinic-officer")),
        ),
        sites=tuple(DemoSite(name=name, tenant=CLINIC) for name in sites),
    )
    encoded = msgspec.json.format(msgspec.json.encode(demo), indent=2)
    return place.write_private(MARK, encoded.decode())


def _user(client: str, tenant: str, profile: Path) -> DemoUser:
    facts = CLIENTS.get(client, {"name": "First administrator", "roles": ["administrator"]})
    return DemoUser(
        name=facts["name"], tenant=tenant, role=facts["roles"][0], credential=str(profile)
    )


def _log_keys(cast: Cast) -> dict[str, str]:
    with cast.connection("clinic-officer") as officer:
        clinic = officer.get("/v1/audit/key")["key"]
    with Connection(load_profile(cast.place.data / "admin.json")) as admin:
        platform = admin.get("/v1/audit/key")["key"]
    return {f"{ORIGIN}/{CLINIC}": clinic, f"{ORIGIN}/platform": platform}


def _sum_up(narrator: Narrator) -> None:
    total = narrator.kept + narrator.broken
    mark = "[red]✗[/red]" if narrator.broken else "[green]✓[/green]"
    narrator.console.print(f"\n{mark} {narrator.kept} of {total} promises kept", highlight=False)


def _stay(cast: Cast, gateway: Running) -> None:
    place, say = cast.place, cast.narrator
    say.chapter("It stays up: try it")
    program = program_of(Path(sys.executable), environment=sys.prefix != sys.base_prefix)
    told = hints(place, cast.profile("clinic-officer"), program)
    for what, how in (*told, ("stop it", "Ctrl-C")):
        # As it is, for it is copied: no square brackets are taken for a style.
        say.console.print(f"  {what:<18} {how}", highlight=False, soft_wrap=True, markup=False)
    with contextlib.suppress(KeyboardInterrupt):
        while gateway.alive:
            signal.sigtimedwait([], 1)
    say.console.print("  it ends: first what is under way", highlight=False)
