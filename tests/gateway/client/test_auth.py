"""Tokens for stock httpx clients: fetched once, proven each time, and never given to others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from gateway.client import AddressRefused, SealgateAuth, TokenRefused
from tests.gateway.client.issuer import URL, Issuer, claims_of, profile


class Wire(httpx.BaseTransport):
    """Hands requests over as they are: `MockTransport` would read their bodies, and the answers."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.issuer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Body(answer))


class Body(httpx.SyncByteStream):
    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield self.answer.content


def client(issuer: Issuer, binding: str = "dpop") -> httpx.Client:
    return httpx.Client(auth=SealgateAuth(profile(binding)), transport=Wire(issuer), base_url=URL)


def test_a_token_is_asked_for_once_and_proven_each_time() -> None:
    issuer = Issuer()
    with client(issuer) as http:
        for path in ("/v2/models/a", "/v2/models/b%20c?x=1"):
            assert http.get(path).status_code == 200
    assert issuer.paths == ["/oauth/token", "/v2/models/a", "/v2/models/b c"]
    first, second = (claims_of(request) for request in issuer.seen[1:])
    assert first["ath"] == second["ath"]
    assert first["jti"] != second["jti"]
    assert second["htu"].endswith("/v2/models/b%20c"), "as it is sent, and without its query"


def test_a_client_that_is_not_bound_sends_no_proof() -> None:
    issuer = Issuer()
    with client(issuer, "none") as http:
        http.get("/v2")
    assert [request.headers["authorization"].split()[0] for request in issuer.seen] == [
        "Basic",
        "Bearer",
    ]
    assert not any("dpop" in request.headers for request in issuer.seen)


def test_a_nonce_is_taken_from_the_refusal_and_kept() -> None:
    issuer = Issuer(nonce="n-1")
    with client(issuer) as http:
        assert http.get("/v2").status_code == 200
        assert http.get("/v2").status_code == 200
        issuer.nonce = "n-2"
        assert http.get("/v2").status_code == 200
    assert issuer.paths == ["/oauth/token", "/oauth/token", "/v2", "/v2", "/v2", "/v2"]


def test_threads_that_are_asked_for_a_nonce_at_once_all_send_it() -> None:
    issuer = Issuer()
    with client(issuer) as http:
        http.get("/v2")
        issuer.nonce = "n-1"
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(http.get, "/v2") for _ in range(16)]
            assert {answer.result().status_code for answer in answers} == {200}


def test_a_profile_that_forgot_its_binding_is_told_so() -> None:
    class Strict(Issuer):
        def _fault(self, request: httpx.Request) -> str:
            return "" if "dpop" in request.headers else "invalid_dpop_proof"

    with client(Strict(), "none") as http, pytest.raises(TokenRefused) as refused:
        http.get("/v2")
    assert '"binding": "dpop"' in refused.value.advice


def test_a_token_that_was_revoked_is_replaced_once() -> None:
    issuer = Issuer()
    with client(issuer) as http:
        http.get("/v2")
        issuer.dead = {"token-1"}
        assert http.post("/v2/models/m/infer", json={"a": 1}).status_code == 200
        issuer.dead = {"token-2", "token-3"}
        assert http.get("/v2").status_code == 401
    assert issuer.issued == 3, "a client that is shut out does not ask for ever"


def test_a_body_that_can_be_sent_once_is_not_sent_twice() -> None:
    def body() -> Iterator[bytes]:
        yield b"rows"

    issuer = Issuer()
    with client(issuer) as http:
        http.get("/v2")
        issuer.dead = {"token-1"}
        assert http.post("/v1/uploads", content=body()).status_code == 401
        assert http.post("/v1/uploads", content=body()).status_code == 200


def test_a_token_is_renewed_before_it_ends() -> None:
    issuer = Issuer(life=0)
    with client(issuer) as http:
        http.get("/v2")
        http.get("/v2")
    assert issuer.issued == 2


@pytest.mark.parametrize("life", ["soon", None, -5, "300"])
def test_a_life_that_makes_no_sense_is_no_fault_of_the_caller(life: object) -> None:
    with client(Issuer(life=life)) as http:
        assert http.get("/v2").status_code == 200


def test_a_clock_that_is_off_is_corrected_by_the_gateways_date() -> None:
    issuer = Issuer(clock=time.time() + 600)
    with client(issuer) as http:
        assert http.get("/v2").status_code == 200
    assert issuer.paths == ["/oauth/token", "/oauth/token", "/v2"]


def test_no_date_of_another_day_moves_the_clock() -> None:
    issuer = Issuer(clock=time.time() + 90_000)
    with client(issuer) as http, pytest.raises(TokenRefused) as refused:
        http.get("/v2")
    assert "clock" in refused.value.advice
    assert len(issuer.seen) == 1


def test_a_refused_client_is_told_why_and_not_its_secret() -> None:
    with client(Issuer(refuse_token=True)) as http, pytest.raises(TokenRefused) as refused:
        http.get("/v2")
    assert (refused.value.status, refused.value.error) == (400, "invalid_client")
    assert "registered" in refused.value.advice
    auth = SealgateAuth(profile())
    assert "s3cr3t" not in f"{refused.value!r}{auth!r}{vars(auth)!r}{vars(auth.tokens)!r}"


@pytest.mark.parametrize(
    "url", ["https://other.example/v2", "http://models.example/v2", "https://models.example:1/v2"]
)
def test_a_token_goes_to_no_other_address(url: str) -> None:
    issuer = Issuer()
    with client(issuer) as http, pytest.raises(AddressRefused):
        http.get(url)
    assert issuer.seen == []


def test_a_redirect_does_not_take_the_token_along() -> None:
    seen: list[httpx.Request] = []

    def away(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 300})
        if request.url.host != "models.example":
            return httpx.Response(200)
        return httpx.Response(302, headers={"location": "https://other.example/"})

    auth = SealgateAuth(profile())
    transport = httpx.MockTransport(away)
    with httpx.Client(auth=auth, transport=transport, follow_redirects=True) as http:
        http.get(f"{URL}/v2")
    (elsewhere,) = (request for request in seen if request.url.host != "models.example")
    assert "authorization" not in elsewhere.headers, "what is left, a proof, opens nothing"


def test_many_threads_ask_for_one_token() -> None:
    issuer = Issuer(slow=threading.Event())
    with client(issuer) as http, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(http.get, f"/v2/models/{at}") for at in range(8)]
        assert issuer.slow is not None
        issuer.slow.set()
        assert {answer.result().status_code for answer in answers} == {200}
    assert issuer.issued == 1


def test_many_tasks_of_one_loop_and_of_the_next_ask_for_one_token() -> None:
    issuer, auth = Issuer(), SealgateAuth(profile())

    async def ask() -> None:
        transport = httpx.MockTransport(issuer)
        async with httpx.AsyncClient(auth=auth, transport=transport, base_url=URL) as http:
            answers = await asyncio.gather(*(http.get(f"/v2/models/{at}") for at in range(8)))
        assert {answer.status_code for answer in answers} == {200}

    asyncio.run(ask())
    asyncio.run(ask())
    assert issuer.issued == 1


def test_a_gateway_that_is_gone_while_a_token_is_asked_for_leaves_no_lock_behind() -> None:
    broken = True

    def flaky(request: httpx.Request) -> httpx.Response:
        if broken:
            raise httpx.ConnectError("gone")
        return Issuer()(request)

    with httpx.Client(auth=SealgateAuth(profile()), transport=httpx.MockTransport(flaky)) as http:
        with pytest.raises(httpx.ConnectError):
            http.get(f"{URL}/v2")
        broken = False
        assert http.get(f"{URL}/v2").status_code == 200


def test_an_answer_of_the_application_is_left_unread() -> None:
    with client(Issuer()) as http, http.stream("GET", "/v2") as answer:
        assert not answer.is_closed
        assert answer.read()
