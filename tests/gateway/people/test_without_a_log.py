"""The audit log is down while something for one use is asked for: nothing is spent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from gateway.errors import EvidenceUnavailable
from gateway.identity.authorization_server import Revocation, TokenEvent
from gateway.people.devices import DEVICE_GRANT
from gateway.people.tokens import CODE_GRANT
from gateway.web.oauth import OfPeople, build_router
from tests.gateway.parts import NOW, House, house
from tests.gateway.people.homes import VERIFIER, Resident, moved_in


@pytest.fixture
def ada() -> Iterator[Resident]:
    with house() as home:
        yield moved_in(home)


class Evidence:
    """Records, or is down."""

    def __init__(self) -> None:
        self.down = False
        self.outcomes: list[str] = []

    async def record(self, event: TokenEvent) -> None:
        if self.down:
            raise EvidenceUnavailable
        self.outcomes.append(event.outcome)

    def revoke(self, revocation: Revocation) -> None:
        raise NotImplementedError


def app_of(home: House, evidence: Evidence) -> FastAPI:
    people = home.use.people
    parts = OfPeople(people.tokens, people.consents, people.devices, people.endings)
    app = FastAPI()
    app.include_router(build_router(home.identity.server, dict, evidence, people=parts))
    return app


def test_whoever_asks_again_after_the_log_was_down_is_no_thief(ada: Resident) -> None:
    asyncio.run(_ask_with_and_without_a_log(ada))


async def _ask_with_and_without_a_log(ada: Resident) -> None:
    evidence = Evidence()
    transport = httpx.ASGITransport(app_of(ada.home, evidence))
    code = {"grant_type": CODE_GRANT, "code": ada.code(int(NOW)), "code_verifier": VERIFIER}
    device = {"grant_type": DEVICE_GRANT, "device_code": ada.device()}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:

        async def ask(form: dict[str, str]) -> httpx.Response:
            return await client.post("/oauth/token", data={"client_id": "tv", **form})

        for form in (code, device):
            follows = form
            for _ in range(3):  # the code, and two refresh tokens after it
                evidence.down = True
                assert [(await ask(follows)).status_code for _ in range(3)] == [503] * 3
                evidence.down = False
                answer = (await ask(follows)).json()
                assert "access_token" in answer, answer
                spent, follows = follows, refreshing(answer)
            assert (await ask(spent)).json()["error"] == "invalid_grant"  # a copy is still noticed
            assert (await ask(follows)).json()["error"] == "invalid_grant"  # and ends what came
    assert evidence.outcomes.count("allow") == 6


def refreshing(answer: dict[str, str]) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}


def test_what_is_not_recorded_leaves_nothing_behind(ada: Resident) -> None:
    code = ada.device()
    before = (
        ada.home.stores.tickets.count("refresh"),
        len(ada.home.stores.sign_ins.list(ada.person.id, 9)),
    )
    for _ in range(3):
        assert ada.ask_for_device(code).then is not None
    after = (
        ada.home.stores.tickets.count("refresh"),
        len(ada.home.stores.sign_ins.list(ada.person.id, 9)),
    )
    assert after == before


def test_of_two_who_were_recorded_at_once_one_gets_a_token_and_the_sign_in_ends(
    ada: Resident,
) -> None:
    code = ada.device()
    first, second = ada.ask_for_device(code), ada.ask_for_device(code)
    assert first.then is not None
    assert second.then is not None
    got = first.then()
    refused = second.then()
    assert "access_token" in got.body
    assert refused.refusal is not None
    assert refused.event is not None
    assert refused.event.outcome == "deny"  # for what was recorded as given before
    refreshed = ada.ask(grant_type="refresh_token", refresh_token=str(got.body["refresh_token"]))
    assert refreshed.refusal is not None
