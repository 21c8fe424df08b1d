"""The steps of the operators' page are looked at in a real place, and change as they are done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from audit.event import PLATFORM_TENANT
from gateway.composition.first_steps import BACKUP_NOTE, KEPT_SECONDS, FirstSteps
from gateway.identity.records import Tenant
from gateway.start_page import HEADERS, PUBLIC_LINKS, Step
from tests.contracts.samples import ECG, RELEASE, VERSION
from tests.gateway.cli.test_main import leaves
from tests.gateway.place import Place, served_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(tmp_path_factory.mktemp("steps")) as served:
        yield served


def done(place: Place) -> dict[str, bool | None]:
    return {step.title: step.done for step in FirstSteps(place.foundation)()}


def test_each_step_is_to_do_until_it_is_done(place: Place) -> None:
    data = place.folder / "data"
    titles = list(done(place))
    assert set(done(place).values()) == {False}
    finished: set[str] = set()

    def now(title: str) -> None:
        finished.add(title)
        assert {name for name, is_done in done(place).items() if is_done} == finished
        assert titles == list(done(place))

    with place.admin() as admin:
        place.profile(PLATFORM_TENANT, "administrator", purposes=[], default_purpose=None)
        now("a second administrator")
        place.tenant("acme")
        now("a tenant")
        owner = place.client("acme", "owner")
        now("a client of a tenant")
        registry = place.foundation.stores.registry
        registry.add_model(replace(ECG, tenant="acme"))
        registry.add_version(replace(VERSION, tenant="acme", state="candidate"))
        assert not done(place)["a model that is served"], "a candidate is not served"
        registry.release(replace(RELEASE, tenant="acme"), expected=None)
        now("a model that is served")
        with owner:
            text = owner.get("/v1/policies")["text"]
            owner.put("/v1/policies", {"text": text + "\n"})
        now("a policy of a tenant's own")
        (data / BACKUP_NOTE).write_text(json.dumps({"at": 1_800_000_000, "id": "b"}))
        now("a backup")
        admin.send("GET", "/v1/audit/export")
        now("a checkpoint kept elsewhere")


def test_a_step_that_cannot_be_looked_at_is_told_so(place: Place) -> None:
    note = place.folder / "data" / BACKUP_NOTE
    before = note.read_bytes() if note.exists() else None
    note.write_text("not json")
    try:
        assert done(place)["a backup"] is None
    finally:
        note.unlink()
        if before is not None:
            note.write_bytes(before)


def test_the_stores_are_looked_at_once_in_a_while(place: Place) -> None:
    class Counting:
        looks = 0

        def __init__(self, tenants: object) -> None:
            self.tenants = tenants

        def list(self, after: str | None, limit: int) -> list[Tenant]:
            Counting.looks += 1
            return []

    now = 0.0
    stores = replace(place.foundation.stores, tenants=Counting(None))  # type: ignore[arg-type]
    environment = replace(place.foundation.environment, monotonic=lambda: now)
    steps = FirstSteps(replace(place.foundation, stores=stores, environment=environment))
    steps()
    first = Counting.looks
    assert first > 0
    steps()
    assert Counting.looks == first
    now = KEPT_SECONDS
    steps()
    assert Counting.looks == 2 * first


def test_each_command_says_as_whom_it_is_given(place: Place) -> None:
    """Those of the administrator ended with: no profile."""
    known = dict(leaves())
    for line in (line for step in FirstSteps(place.foundation)() for line in lines_of(step)):
        command = known[tuple(line.split()[1:3])] if line.split()[2:3] != ["--data"] else None
        asks = command and any("--profile" in option.opts for option in command.params)
        assert ("--profile " in line) is bool(asks), line
    assert str(place.folder / "data" / "admin.json") in str(FirstSteps(place.foundation)())


def lines_of(step: Step) -> list[str]:
    return [line for line in step.command.splitlines() if line.startswith("sealgate ")]


def test_the_model_of_the_page_is_screened_as_the_starter_policies_ask(place: Place) -> None:
    """Its callers got nothing: what is not screened is not given out."""
    (push,) = (
        line
        for step in FirstSteps(place.foundation)()
        for line in lines_of(step)
        if "model push" in line
    )
    assert "--calibration rows.npz" in push


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_strangers_see_a_page_that_tells_no_tenant(place: Place, method: str) -> None:
    place.tenant("acme")
    answer = httpx.request(method, f"{place.url}/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert ("sealgate" in answer.text) is (method == "GET")
    assert "acme" not in answer.text.lower()


def test_other_methods_are_refused(place: Place) -> None:
    assert httpx.post(f"{place.url}/", json={}).status_code == 405


def test_links_of_the_page_lead_somewhere(place: Place) -> None:
    for link in PUBLIC_LINKS:
        assert httpx.get(f"{place.url}{link.address}").status_code == 200, link.address
