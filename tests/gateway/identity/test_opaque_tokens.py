"""Opaque tokens, whose issuer is asked over a real socket, and an issuer that fails or lies."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.identity.errors import InvalidToken, IssuerUnavailable
from gateway.identity.opaque_tokens import (
    ASKING,
    ASKS_A_SECOND,
    NEGATIVE_SECONDS,
    NEGATIVES,
    REST_SECONDS,
    Introspection,
)
from gateway.identity.trust import IntrospectionTrust, IssuerTrust

from .fakes import NOW, URL, World

TOKEN = b"opaque-token-0123456789"
ACTIVE: dict[str, Any] = {
    "active": True,
    "token_type": "Bearer",
    "client_id": "svc",
    "sub": "svc",
    "aud": [URL, "account"],
    "scope": "infer",
    "exp": int(NOW) + 300,
    "iat": int(NOW),
    "jti": "opaque-1",
}


class Asked:
    """A gateway whose issuer answers from memory, counted."""

    def __init__(self, tmp_path: Path, seconds: int = 30, **changes: Any) -> None:
        self.secret = tmp_path / "secret"
        self.secret.write_text("s3cret\n")
        made: dict[str, Any] = {
            "issuer": "https://issuer.example",
            "audience": URL,
            "allowed_tenants": frozenset({"north"}),
            "algorithms": frozenset({"ES256"}),
            "clients": {"svc": "service"},
            "name": "issuer",
            "introspection": IntrospectionTrust(
                "https://issuer.example/introspect", "gateway", self.secret, seconds
            ),
            **changes,
        }
        self.answer: Any = dict(ACTIVE)
        self.status, self.questions = 200, 0
        self.gate: asyncio.Event | None = None
        self.full = asyncio.Event()
        self.trust = IssuerTrust(**made)
        self.made: list[Introspection] = []
        self.world = World(asking=self.asking)
        self.world.issuers.replace([self.trust])

    def asking(self, trust: IssuerTrust) -> Introspection:
        world = self.world
        self.made.append(Introspection(trust, self.fetch, self.post, world.clock, world.monotonic))
        return self.made[-1]

    @property
    def counters(self) -> Any:
        return self.made[-1].counters

    async def fetch(self, url: str) -> bytes:
        raise AssertionError("the endpoint is configured")

    async def post(self, url: str, form: bytes, authorization: bytes) -> tuple[int, bytes]:
        self.questions += 1
        if self.questions == ASKING:
            self.full.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.status == 0:
            raise IssuerUnavailable
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return self.status, body

    def later(self, seconds: float) -> None:
        self.world.clock.now += seconds
        self.world.monotonic.now += seconds

    async def calls(self, token: bytes = TOKEN, scheme: bytes = b"Bearer ") -> Any:
        return await self.world.authenticator.authenticate(scheme + token, None, "GET", "/")

    def call(self, token: bytes = TOKEN) -> Any:
        return asyncio.run(self.calls(token))


def test_issue_8_3_an_opaque_token_is_what_its_issuer_says(tmp_path: Path) -> None:
    found = Asked(tmp_path).call()
    assert (found.client_id, found.tenant, found.scopes) == ("service", "north", {"infer"})
    assert (found.token_id, found.expires) == ("opaque-1", int(NOW) + 300)


def test_an_answer_is_remembered_for_the_stated_seconds_and_no_longer(tmp_path: Path) -> None:
    asked = Asked(tmp_path, seconds=15)
    asked.call()
    asked.later(14)
    asked.call()
    assert asked.questions == 1
    asked.answer = {"active": False}  # revoked there
    asked.later(1)
    with pytest.raises(InvalidToken):
        asked.call()
    assert asked.questions == 2


def test_an_answer_is_not_remembered_past_the_end_of_the_token(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.answer = {**ACTIVE, "exp": int(NOW) + 5}
    asked.call()
    asked.later(5)
    with pytest.raises(InvalidToken):
        asked.call()


def test_a_revocation_here_holds_at_once(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    found = asked.call()
    asked.world.revocation_state.revoke_token(found.issuer, found.token_id, found.expires)
    with pytest.raises(InvalidToken):
        asked.call()


def test_many_callers_with_one_token_cause_one_question(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked = Asked(tmp_path)
        asked.gate = asyncio.Event()
        first, *waiting = [asyncio.create_task(asked.calls()) for _ in range(100)]
        await asyncio.sleep(0)
        first.cancel()
        asked.gate.set()
        assert all(await asyncio.gather(*waiting))
        assert asked.questions == 1

    asyncio.run(scenario())


def test_that_a_token_is_not_active_is_remembered_for_a_while(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.answer = {"active": False}
    for _ in range(50):
        with pytest.raises(InvalidToken) as refused:
            asked.call()
        assert (refused.value.rule, refused.value.public) == (
            "active",
            "the access token is not valid",
        )
    assert (asked.questions, asked.counters.remembered) == (1, 49)
    asked.later(NEGATIVE_SECONDS)
    asked.answer = ACTIVE
    assert asked.call()


def test_invented_tokens_are_bounded_in_a_second_and_in_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked = Asked(tmp_path)
        asked.answer = {"active": False}
        for n in range(ASKS_A_SECOND):
            with pytest.raises(InvalidToken):
                await asked.calls(b"invented-%06d" % n)
        for n in range(20):
            with pytest.raises(IssuerUnavailable) as refused:
                await asked.calls(b"invented-too-%06d" % n)
            assert int(refused.value.retry_after) >= 1
        assert asked.questions == ASKS_A_SECOND
        for n in range(NEGATIVES + 10):
            asked.later(0 if n % ASKS_A_SECOND else 1)
            with pytest.raises(InvalidToken):
                await asked.calls(b"invented-again-%06d" % n)
        assert len(asked.made[-1]._inactive) == NEGATIVES

    asyncio.run(scenario())


def test_questions_under_way_are_bounded(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked = Asked(tmp_path)
        asked.gate = asyncio.Event()
        waiting = [asyncio.create_task(asked.calls(b"token-%06d" % n)) for n in range(ASKING)]
        await asked.full.wait()
        with pytest.raises(IssuerUnavailable):
            await asked.calls(b"one-too-many")
        asked.gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_an_issuer_that_fails_is_left_alone_and_nothing_is_accepted(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    for status in (0, 500, 503, 401, 403, 429, 302):
        asked.status = status
        before = asked.questions
        for _ in range(10):
            with pytest.raises(IssuerUnavailable):
                asked.call()
        assert asked.questions == before + 1
        asked.later(REST_SECONDS)
    asked.status = 200
    assert asked.call()


def test_a_token_that_the_issuer_answers_oddly_costs_itself(tmp_path: Path) -> None:
    """Else a stranger stops everybody by sending one."""
    asked = Asked(tmp_path)
    for status, answer in (
        (400, {"error": "invalid_request"}),
        (200, {"active": "true"}),
        (200, {"active": 1}),
        (200, {}),
        (200, []),
    ):
        asked.status, asked.answer = status, answer
        with pytest.raises(IssuerUnavailable):
            asked.call(b"an-odd-token")
        asked.status, asked.answer = 200, {**ACTIVE, "jti": f"{status}"}
        assert asked.call(b"a-good-token-%d" % asked.questions)


def test_a_secret_that_is_gone_fails_closed(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    for text in ("", " \n", "x" * 5000):
        asked.secret.write_text(text)
        with pytest.raises(IssuerUnavailable):
            asked.call()
        asked.later(REST_SECONDS)
    asked.secret.unlink()
    with pytest.raises(IssuerUnavailable):
        asked.call()
    assert asked.questions == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "Refresh"},
        {"token_type": "refresh_token"},
        {"token_type": "ID"},
        {"token_type": None},
        {"token_type": ["Bearer"]},
        {"token_type": "N_A"},
        {"token_type": "DPoP"},
        {"exp": ...},
        {"exp": "soon"},
        {"exp": int(NOW)},
        {"exp": int(NOW) + 7200},
        {"nbf": int(NOW) + 3600},
        {"iss": "https://other.example"},
        {"aud": ...},
        {"aud": "https://other.example"},
        {"client_id": ...},
        {"client_id": ["svc"]},
        {"client_id": "stranger"},
        {"sub": ...},
        {"sub": "a\nb"},
        {"scope": ["infer"]},
        {"roles": "administrator"},
        {"cnf": {"x5t#S256": "a"}},
        {"at_hash": "h"},
        {"jti": 5},
    ],
    ids=str,
)
def test_an_answer_breaks_the_rules_that_a_token_would(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    asked = Asked(tmp_path)
    asked.answer = {name: v for name, v in {**ACTIVE, **changes}.items() if v is not ...}
    with pytest.raises(InvalidToken):
        asked.call()


def test_a_token_of_an_issuer_without_ids_is_known_by_its_digest(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.answer = {name: v for name, v in ACTIVE.items() if name not in {"jti", "iat", "iss"}}
    assert asked.call().token_id.startswith("sha256.")


def test_a_token_without_a_time_of_issue_counts_as_old_as_it_can_be(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.answer = {name: v for name, v in ACTIVE.items() if name != "iat"}
    assert asked.call().auth_age >= 3600 - 300
    back = replace(asked.world.service, not_before=int(NOW) - 60)
    asked.world.revocation_state.save_client(back)
    with pytest.raises(InvalidToken):
        asked.call()
    longer = Asked(tmp_path)
    longer.answer = {**asked.answer, "exp": int(NOW) + 3601}
    with pytest.raises(InvalidToken):
        longer.call()


@pytest.mark.parametrize(
    "token",
    [b"short", b"x" * 4097, b"with blank", b"a\r\nb: c01234", b"\xff" * 20, b"a,b;c012345"],
    ids=str,
)
def test_what_is_no_opaque_token_goes_nowhere(tmp_path: Path, token: bytes) -> None:
    asked = Asked(tmp_path)
    with pytest.raises(InvalidToken):
        asked.call(token)
    assert asked.questions == 0


def test_a_signed_token_is_never_sent_to_anybody(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    assert asked.call(asked.world.bearer().encode()).client_id == "service"
    with pytest.raises(InvalidToken):
        asked.call(asked.world.forged(iss="https://stranger.example"))
    assert asked.questions == 0


def test_two_issuers_with_opaque_tokens_do_not_start(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    other = Asked(tmp_path, issuer="https://other.example").trust
    with pytest.raises(ConfigurationError):
        asked.world.issuers.replace([asked.trust, other])
    caller = asked.call()
    asyncio.run(asked.world.authenticator.reconfirm(caller))
    asked.world.issuers.replace([])
    with pytest.raises(InvalidToken):
        asked.call()
    # What it has begun, such as a batch, ends as well.
    with pytest.raises(InvalidToken):
        asyncio.run(asked.world.authenticator.reconfirm(caller))
