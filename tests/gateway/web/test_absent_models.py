"""A model that the caller may not use and one that is absent: one answer, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.gateway.serving import H11, HTTPTOOLS, PROTOCOLS
from tests.gateway.web.hidden import ASKERS, Hidden, hidden_things
from tests.gateway.web.wire import ALIVE, Answer, Wire, request
from tests.gateway.web.wrong_bodies import ALL, FRAMED, HUGE, MARKER, SLOW, Case

pytestmark = pytest.mark.e2e

FORBIDDEN = (
    "banned",
    "unused",
    "bound",
    "banned/versions/1",
    "unused/versions/1",
    "open/versions/2",
)
ABSENT = (
    "vanished",
    "vanished/versions/1",
    "open/versions/9",
    "banned/versions/9",
    "%76anished",
    "house~vanished",
)
# `open` is no secret of those who may call it.
# By the long name it is for nobody before the rival has accepted what it is offered.
OF_OTHERS = ("open", "open/versions/1", "house~open", "house~open/versions/1", *FORBIDDEN)


@dataclass(frozen=True)
class Heard:
    """Everything that one request brought back."""

    first: Answer | None
    later: Answer | bytes | None
    """The answer to a second request on the connection, or what came until it was closed."""


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    with hidden_things(tmp_path_factory.mktemp("hidden")) as made:
        yield made


def heard(port: int, token: str, model: str, case: Case) -> Heard:
    head = request("POST", f"/v2/models/{model}/infer{case.query}", token, *case.headers)
    if case.old:
        head = head.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
    with Wire(port) as wire:
        wire.send(head + case.body)
        first = wire.answer()
        if first is not None and first.status == 100:
            wire.send(case.rest or b"")
            first = wire.answer()
            later: Answer | bytes | None = _alive(wire)
        elif case.rest is None:
            later = wire.end()
        else:
            wire.send(case.rest)
            later = _alive(wire)
    return Heard(first and first.without_its_own(), later)


def _alive(wire: Wire) -> Answer | None:
    wire.send(ALIVE)
    alive = wire.answer()
    return alive and alive.without_its_own()


@pytest.mark.parametrize("kind", ALL)
def test_forbidden_and_absent_are_one_answer(hidden: Hidden, kind: str) -> None:
    case = ALL[kind]
    protocols = PROTOCOLS if kind in FRAMED | HUGE | SLOW else (HTTPTOOLS,)
    asked = [
        (protocol, who, model)
        for protocol in protocols
        for who in ASKERS
        for model in ABSENT + (OF_OTHERS if who in ("rival", "nobody") else FORBIDDEN)
    ]

    def ask(one: tuple[str, str, str]) -> Heard:
        protocol, who, model = one
        return heard(hidden.port(protocol), hidden.token(who), model, case)

    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(asked, pool.map(ask, asked), strict=True))
    for protocol in protocols:
        for who in ASKERS:
            expected = answers[protocol, who, ABSENT[0]]
            assert expected.first is not None
            assert expected.first.status == 404 or case.rest is None
            assert MARKER.encode() not in expected.first.head + expected.first.body
            for (other, asker, model), answer in answers.items():
                if (other, asker) == (protocol, who):
                    assert answer == expected, (protocol, who, model)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_may_use_the_model_is_told_what_is_wrong(hidden: Hidden, protocol: str) -> None:
    """Otherwise the cases would show nothing."""
    token, port = hidden.token("caller"), hidden.port(protocol)
    own = {"upgrade", "shorter_than_sent", "length_and_chunks"} if protocol == H11 else set()
    kinds = [kind for kind in ALL if kind not in own]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda kind: heard(port, token, "open", ALL[kind]).first, kinds)
    found = {kind: answer and answer.status for kind, answer in zip(kinds, answers, strict=True)}
    assert found == {kind: ALL[kind].told for kind in kinds}
    assert sum(status != 404 for status in found.values()) >= 40


def test_what_was_sent_is_in_no_log(hidden: Hidden) -> None:
    text = hidden.recorded()
    assert "model_not_found" in text
    assert MARKER not in text
    assert "vanished" not in text
