"""No allow after a revoke has returned, however many requests are under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, moved, until
from tests.e2e.load import Load

# Requests begun after a revocation that are looked at each time.
LATE = 12
DIGITS = "/v2/models/digits/infer"
FORBIDDING = '\n@id("closed") forbid (principal, action == Action::"infer", resource);\n'


@pytest.fixture(scope="module")
def busy(founded: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway of this module's own: what is revoked here would be missed elsewhere."""
    with moved(founded, tmp_path_factory.mktemp("busy") / "place") as house:
        yield house


def hold_back(load: Load, revoke: Callable[[], Any], statuses: set[int]) -> None:
    """Revoke while callers are being answered; fail if one is answered that began afterwards."""
    started = time.monotonic()
    until(lambda: sum(a.status == 200 for a in load.begun_after(started)) >= load.callers)
    revoke()
    returned = time.monotonic()
    until(lambda: len(load.begun_after(returned)) >= LATE)
    late = load.begun_after(returned)
    assert {answer.status for answer in late} <= statuses, late


def token_for(house: House, client: str) -> str:
    return house.cast.token(client)


def test_a_revoked_token_is_dead(busy: House) -> None:
    basic = ("clinic-app", busy.cast.secrets["clinic-app"])
    with Load(busy, DIGITS) as load:
        for _ in range(15):
            token = token_for(busy, "clinic-app")
            load.headers = {"authorization": f"Bearer {token}"}

            def revoke(token: str = token) -> None:
                form = {"token": token}
                answer = busy.cast.http.post(f"{busy.url}/oauth/revoke", data=form, auth=basic)
                answer.raise_for_status()

            hold_back(load, revoke, {401})
    other = busy.cast.infer(token_for(busy, "clinic-app"), "digits", busy.owned["digits"].body())
    assert other.status_code == 200, "only the revoked tokens are dead"


def test_a_disabled_client_is_out(busy: House) -> None:
    facts = {
        "tenant": "clinic",
        "name": "Short-lived application",
        "roles": ["caller"],
        "scopes": ["infer"],
        "purposes": ["diagnosis"],
        "default_purpose": "diagnosis",
        "auth_method": "client_secret_basic",
        "token_binding": "none",
    }
    with busy.admin() as admin, Load(busy, DIGITS) as load:
        for number in range(8):
            name = f"app-{number}"
            busy.cast.secrets[name] = admin.post("/v1/clients", {"id": name, **facts})[
                "client_secret"
            ]
            load.headers = {"authorization": f"Bearer {token_for(busy, name)}"}

            def disable(name: str = name) -> None:
                admin.post(f"/v1/tenants/clinic/clients/{name}/disable")

            hold_back(load, disable, {401})
            refused = busy.cast.http.post(
                f"{busy.url}/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(name, busy.cast.secrets[name]),
            )
            assert refused.status_code == 401


def test_a_token_of_before_stays_dead_when_its_client_is_let_in_again(busy: House) -> None:
    """It was good again, for as long as it had to live, and that over a restart too."""
    body = busy.owned["digits"].body()
    before = token_for(busy, "bank-app")

    def status(token: str) -> int:
        return busy.cast.infer(token, "digits", body).status_code

    alive = status(before)
    with busy.admin() as admin:
        for verb in ("disable", "enable"):
            admin.post(f"/v1/tenants/bank/clients/bank-app/{verb}")
    assert (alive, status(before)) == (404, 401), "404: known, and of another tenant"
    busy.stop()
    busy.start()
    assert status(before) == 401
    until(lambda: status(token_for(busy, "bank-app")) == 404)


def test_a_suspended_tenant_is_out(busy: House) -> None:
    with busy.admin() as admin, Load(busy, DIGITS) as load:
        for _ in range(8):
            load.headers = busy.bearer()

            def stand(suspended: bool = True) -> None:
                admin.put("/v1/tenants/clinic/standing", {"suspended": suspended})

            hold_back(load, stand, {401, 404})
            stand(suspended=False)
            busy.forget_tokens()
    assert busy.infer().status_code == 200


def test_a_forbidding_policy_holds_at_once(busy: House) -> None:
    with busy.client("clinic-owner") as owner, Load(busy, DIGITS) as load:
        text = owner.get("/v1/policies")["text"]
        for _ in range(8):

            def publish(text: str = text + FORBIDDING) -> None:
                owner.put("/v1/policies", {"text": text})

            hold_back(load, publish, {404})
            publish(text)
    refused = {answer.code for answer in load.answers if answer.status == 404}
    assert refused == {"model-not-found"}
    event = busy.events(outcome="deny", action="infer", limit=1)[0]
    assert event["policy_ids"] == ["clinic/closed"]


def test_a_retired_version_answers_no_more(fresh: MakeHouse) -> None:
    house = fresh()
    biopsy = house.owned["biopsy"]
    for version in ("2.0", "3.0", "4.0"):
        house.push(biopsy, version)
        house.sealgate("model", "promote", "biopsy", version)
    house.sealgate("model", "rollback", "biopsy", "--to", "1.0")
    for version in ("2.0", "3.0", "4.0"):
        with Load(house, f"/v2/models/biopsy/versions/{version}/infer", asks="biopsy") as load:

            def retire(version: str = version) -> None:
                house.sealgate("model", "retire", "biopsy", version, "--confirm", version)

            hold_back(load, retire, {404})
    assert house.infer("biopsy").status_code == 200


def test_a_revocation_outlives_a_kill(fresh: MakeHouse) -> None:
    """What was taken away before the power went stays taken away."""
    house = fresh()
    token, basic = token_for(house, "clinic-app"), ("clinic-app", house.cast.secrets["clinic-app"])
    other = house.token("clinic-app")
    form = {"token": token}
    house.cast.http.post(f"{house.url}/oauth/revoke", data=form, auth=basic).raise_for_status()
    with house.admin() as admin:
        admin.post("/v1/tenants/bank/clients/bank-app/disable")
    house.kill()
    house.start()
    body = house.owned["digits"].body()
    assert house.cast.infer(token, "digits", body).status_code == 401
    assert house.cast.infer(other, "digits", body).status_code == 200
    refused = house.cast.http.post(
        f"{house.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("bank-app", house.cast.secrets["bank-app"]),
    )
    assert refused.status_code == 401
