"""Answers that take long to be written are written in a thread, with the same records and order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gateway.grpc.infer_codec import GrpcCodec
from gateway.inference.codec import ASIDE_EFFORT, Codec, effort
from gateway.inference.errors import AnswerNotFinite
from gateway.inference.oip import OipCodec
from tests.gateway.artifacts.hostile_models import build, constant, node, tensor

from .test_taken_away import CHANGES
from .works import Works, ask, head, row, works

WIDE = ASIDE_EFFORT // 4 + 1
TEXT = np.array(["a"], object)


def widened() -> bytes:
    """Each row's first number twice, so many times that its answer takes long to be written."""
    model = build(
        [node("MatMul", ["in", "w"], ["y"])],
        inputs=[tensor("in", ["n", 6])],
        outputs=[tensor("y", ["n", WIDE])],
        constants=[constant("w", np.eye(6, 1) @ np.full((1, WIDE), 2.0), np.float32)],
    )
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def shop() -> Iterator[Works]:
    with works("rival") as made:
        made.allow_unscreened()
        made.publish(model="wide", graph=widened(), screened=False)
        made.publish()
        yield made


class Noted(OipCodec):
    """Notes where it writes, and lets something happen meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(None)
        self.meanwhile = meanwhile
        self.threads: list[bool] = []

    def render(self, *arguments: Any) -> Any:
        self.threads.append(threading.current_thread() is threading.main_thread())
        self.meanwhile()
        return super().render(*arguments)


def test_a_large_answer_is_written_in_a_thread_and_recorded_like_others(shop: Works) -> None:
    """A tensor of some megabytes kept the loop, and so everybody, while it was written as JSON."""
    large, small = Noted(), Noted()
    found = ask(shop, row(np.full((1, 6), 7.0)), model="wide", codec=large)
    assert head(found)["outputs"][0]["data"] == [14.0] * WIDE
    ask(shop, codec=small)
    assert (large.threads, small.threads) == ([False], [True])
    one, other = shop.events()[-2:]
    assert one.keys() == other.keys()
    assert (one["outcome"], other["outcome"]) == ("allow", "allow")


def test_what_a_large_answer_cannot_say_is_refused_and_recorded(shop: Works) -> None:
    with pytest.raises(AnswerNotFinite):
        ask(shop, row(np.full((1, 6), 3e38, np.float32)), model="wide", codec=Noted())
    assert shop.events()[-1]["reason"] == "answer_not_finite"


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_taken_away_while_a_large_answer_was_written_is_not_released(kind: str) -> None:
    change, refusals = CHANGES[kind]
    with works("rival") as shop:
        shop.allow_unscreened()
        shop.publish(graph=widened(), screened=False)
        token = shop.bearer()

        def meanwhile() -> None:
            change(shop, token)
            shop.house.changed()

        with pytest.raises(refusals):
            ask(shop, row(np.zeros((1, 6))), token=token, codec=Noted(meanwhile))
        assert shop.events()[-1]["outcome"] == "deny"


def asked(codec: OipCodec, *, binary: bool = False, classes: int = 0) -> OipCodec:
    parameters = f'"parameters":{{"binary_data":{str(binary).lower()}}}'
    if classes:
        parameters = f'"parameters":{{"classification":{classes}}}'
    codec.decode(
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],'
        b'"outputs":[{"name":"y",' + parameters.encode() + b"}]}"
    )
    return codec


@pytest.mark.parametrize(
    ("codec", "output", "long"),
    [
        (asked(OipCodec(None)), np.zeros((4, 1000), np.float32), False),
        (asked(OipCodec(None)), np.zeros(ASIDE_EFFORT // 4 + 1, np.float32), True),
        (asked(OipCodec(None), binary=True), np.zeros(ASIDE_EFFORT // 4 + 1, np.float32), False),
        (asked(OipCodec(None), binary=True), np.zeros(ASIDE_EFFORT * 17, np.float32), True),
        (asked(OipCodec(None), classes=2), np.zeros(ASIDE_EFFORT // 4 + 1, np.float32), True),
        (asked(OipCodec(None), binary=True), np.repeat(TEXT, 10_000), True),
        (asked(OipCodec(None)), np.array(["a" * ASIDE_EFFORT], object), True),
        (GrpcCodec(), np.zeros((1000, 100), np.float32), False),
        (GrpcCodec(), np.repeat(TEXT, 10_000), True),
        (GrpcCodec(), np.repeat(TEXT, 10), False),
    ],
)
def test_what_takes_long_depends_on_the_form(codec: Codec[Any], output: Any, long: bool) -> None:
    assert codec.takes_long({"y": output}) == long


def test_many_texts_are_not_even_counted() -> None:
    assert effort(np.repeat(np.array([None]), 1 << 20), copied=True) > ASIDE_EFFORT
