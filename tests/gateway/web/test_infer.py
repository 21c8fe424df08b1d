from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.inference.body_budget import TENANT_BYTES, BodyBudget
from gateway.inference.errors import BodyTimeout, BodyTooLarge, MalformedRequest, TooManyRequests
from gateway.web.body_reader import BodyReader
from gateway.web.infer import infer_target


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v2/models/m/infer", ("m", None)),
        ("/v2/models/m/versions/1.0/infer", ("m", "1.0")),
        ("/v2/models/a%20b/infer", ("a%20b", None)),
        ("/v2/models/m", None),
        ("/v2/models/infer", None),
        ("/v2/models/m/x/1/infer", None),
        ("/v2/models/m/versions/1/extra/infer", None),
        ("/v1/models/m/infer", None),
        ("/", None),
    ],
)
def test_only_inference_paths_are_taken(path: str, target: object) -> None:
    assert infer_target(path) == target


def read(messages: Sequence[dict[str, Any]], declared: int | None = None, bound: int = 10) -> bytes:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        try:
            return next(waiting)
        except StopIteration:
            await asyncio.Event().wait()
            raise

    return asyncio.run(BodyReader(receive, declared, bound, 0.02, BodyBudget())("acme"))


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_joined() -> None:
    assert read([part(b"ab", more=True), part(b"c")]) == b"abc"


def test_a_declared_length_over_the_bound_is_refused_unread() -> None:
    with pytest.raises(BodyTooLarge):
        read([], declared=11)


def test_a_longer_body_than_declared_is_refused() -> None:
    with pytest.raises(BodyTooLarge):
        read([part(b"x" * 6, more=True), part(b"x" * 6)], declared=6)


def test_a_slow_sender_is_not_waited_for() -> None:
    with pytest.raises(BodyTimeout):
        read([part(b"x", more=True)])


def test_a_sender_that_goes_away_is_not_answered_as_if_complete() -> None:
    with pytest.raises(MalformedRequest):
        read([part(b"x", more=True), {"type": "http.disconnect"}])


def test_bodies_that_are_held_are_bounded_for_a_tenant_and_given_back() -> None:
    budget = BodyBudget()
    budget.take("greedy", TENANT_BYTES)
    with pytest.raises(TooManyRequests):
        budget.take("greedy", 1)
    budget.take("other", 1)
    budget.give_back("greedy", TENANT_BYTES)
    budget.take("greedy", 1)


def test_a_body_gives_back_what_arrived_even_when_it_was_refused() -> None:
    budget = BodyBudget()
    waiting = iter([part(b"x" * 8, more=True), part(b"x" * 8)])

    async def receive() -> dict[str, Any]:
        return next(waiting)

    reader = BodyReader(receive, None, 10, 0.02, budget)
    with pytest.raises(BodyTooLarge):
        asyncio.run(reader("acme"))
    reader.release()
    budget.take("acme", TENANT_BYTES)
